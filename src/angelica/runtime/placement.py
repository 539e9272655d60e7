"""Placement: what the tasks of a worker that say what they need take of it, from their claim to their end."""

from __future__ import annotations

from collections.abc import Mapping

from angelica.domain.placement import Space
from angelica.domain.resources import NOTHING_TAKEN, Amount, Capacity, amount_of
from angelica.runtime.assignment import Assignment


class Placement:
    """On the event loop of a worker. The claim takes only what fits beside what is counted here (`domain.placement`).

    So whoever comes has a place. Also one that waits for its turn in this worker has it, and one whose lease is lost
    has it until its handler has really stopped.
    """

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._inside: dict[Assignment, Amount] = {}
        self._taken = NOTHING_TAKEN

    def enter(self, assignment: Assignment) -> None:
        """Count one that was claimed."""
        resources = assignment.task.spec.extras.resources
        if resources:
            amount = self._inside[assignment] = amount_of(resources)
            self._taken = self._taken.plus(amount)

    def leave(self, assignment: Assignment) -> bool:
        """Count one no longer; return whether that leaves room."""
        amount = self._inside.pop(assignment, None)
        if amount is None:
            return False
        self._taken = self._taken.plus(amount, -1)
        return True

    @property
    def busy(self) -> bool:
        """Whether anybody is inside."""
        return bool(self._inside)

    def space(self, slots: Mapping[str, int]) -> Space:
        """Return what there is and what is taken; `slots` are the free ones by kind of executor."""
        return Space(self._capacity, self._taken, slots)
