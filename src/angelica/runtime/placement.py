"""Placement: tasks that say what they need of the machine start while they fit beside what runs in this worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from angelica.clock import SECOND
from angelica.domain.outcome import Outcome, Snoozed
from angelica.domain.resources import Capacity, Resources
from angelica.runtime.assignment import Assignment

PATIENCE: Final = 2 * SECOND
"""How long a task may wait here, leased and out of the reach of other workers, before it goes back."""

RESERVED_AFTER: Final = 30 * SECOND
"""How long a task was due before a worker keeps itself free for it: else small ones would pass it for ever."""

LOOK: Final = 0.25
"""Seconds between looks at those that wait."""

SHORTEST: Final = SECOND
LONGEST: Final = 30 * SECOND
ELSEWHERE: Final = 5 * SECOND
"""How long at least a task stays away that this worker can never run: it asks for another, not for another moment."""

_SHARE: Final = 4


class Placement:
    """On the event loop of a worker. `admit` starts an assignment; `give_back` ends one that does not get its place.

    What does not fit beside what runs waits here for 2 seconds, and is then handed back at no cost, for a time that
    grows with its age: another worker may have room. One that has been due for 30 seconds stays, if it fits at all, and
    nothing that says what it needs starts before it.
    """

    def __init__(
        self,
        capacity: Capacity,
        *,
        admit: Callable[[Assignment], object],
        give_back: Callable[[Assignment, Outcome], object],
        wall: Callable[[], int],
    ) -> None:
        self._capacity = capacity
        self._admit = admit
        self._give_back = give_back
        self._wall = wall
        self._inside: dict[Assignment, Resources] = {}
        self._waiting: dict[Assignment, int] = {}
        self._reserved: Assignment | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether anybody is inside."""
        return bool(self._inside)

    def enter(self, assignment: Assignment) -> bool:
        """Let an assignment in at once, or return False: it waits here, or has been handed back."""
        resources = assignment.task.spec.extras.resources
        if not resources:
            return True
        if not self._capacity.fits(resources):
            self._hand_back(assignment, ELSEWHERE)
            return False
        if self._reserved is None and self._fits(resources):
            self._inside[assignment] = resources
            return True
        self._waiting[assignment] = self._wall()
        self._look_soon()
        return False

    def leave(self, assignment: Assignment) -> None:
        """Take an assignment out, and let in who fits now."""
        if self._inside.pop(assignment, None) is not None:
            self._fill()

    def waiting(self, kind: str) -> int:
        """Return how many of a kind of executor wait."""
        return sum(assignment.code.executor == kind for assignment in self._waiting) if self._waiting else 0

    def recall(self, assignment: Assignment) -> bool:
        """Take one back that waits; return whether it did."""
        found = self._waiting.pop(assignment, None) is not None
        if assignment is self._reserved:
            self._reserved = None
            self._fill()
        return found

    def withdraw(self) -> list[Assignment]:
        """Take back all that wait."""
        waiting = list(self._waiting)
        self._waiting.clear()
        self._reserved = None
        return waiting

    def _fits(self, resources: Resources) -> bool:
        return self._capacity.fits_beside(self._inside.values(), resources)

    def _fill(self) -> None:
        for assignment in sorted(self._waiting, key=_due):
            if self._reserved is not None and assignment is not self._reserved:
                continue
            resources = assignment.task.spec.extras.resources
            if self._fits(resources):
                del self._waiting[assignment]
                self._inside[assignment] = resources
                if assignment is self._reserved:
                    self._reserved = None
                self._admit(assignment)

    def _look_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._wall()
        if self._reserved is None:
            oldest = min(self._waiting, key=_due, default=None)
            if oldest is not None and now - _due(oldest) >= RESERVED_AFTER:
                self._reserved = oldest
        for assignment, since in list(self._waiting.items()):
            if assignment is not self._reserved and now - since >= PATIENCE:
                del self._waiting[assignment]
                self._hand_back(assignment)
        if self._waiting:
            self._look_soon()

    def _hand_back(self, assignment: Assignment, shortest: int = SHORTEST) -> None:
        now = self._wall()
        wait = min(max((now - _due(assignment)) // _SHARE, shortest), LONGEST)
        self._give_back(assignment, Snoozed(now + wait))


def _due(assignment: Assignment) -> int:
    spec = assignment.task.spec
    return max(spec.run_at, spec.created_at)
