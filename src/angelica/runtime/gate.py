"""Gates: at most `concurrency` attempts of a function at once in this worker process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from angelica.runtime.assignment import Assignment

MAY_WAIT: Final = 500
"""Tasks that may wait at the gates of a worker without taking room from those of other functions."""


class Gates:
    """Counts who is inside by function; the others wait here in order and are admitted as soon as one leaves."""

    def __init__(self, admit: Callable[[Assignment], None]) -> None:
        self._admit = admit
        self._inside: dict[str, set[Assignment]] = {}
        self._waiting: dict[str, deque[Assignment]] = {}

    def enter(self, assignment: Assignment) -> bool:
        """Let an assignment in, or let it wait; return whether it is in."""
        inside = self._inside.setdefault(assignment.function, set())
        limit = assignment.code.concurrency
        if limit is not None and len(inside) >= limit:
            self._waiting.setdefault(assignment.function, deque()).append(assignment)
            return False
        inside.add(assignment)
        return True

    def leave(self, assignment: Assignment) -> None:
        """Take an assignment out, and admit the next that waits."""
        self._inside.get(assignment.function, set()).discard(assignment)
        waiting = self._waiting.get(assignment.function)
        if waiting:
            # Also one that was told to stop meanwhile: its executor ends it before its handler begins.
            candidate = waiting.popleft()
            if self.enter(candidate):
                self._admit(candidate)

    def recall(self, assignment: Assignment) -> bool:
        """Take one back that waits; return whether it did."""
        try:
            self._waiting[assignment.function].remove(assignment)
        except (KeyError, ValueError):
            return False
        return True

    def waiting(self) -> int:
        """Return how many wait."""
        return sum(len(queue) for queue in self._waiting.values())

    def crowd(self) -> int:
        """Return how many wait beyond those that may before it counts against what is claimed."""
        return max(self.waiting() - MAY_WAIT, 0)

    def withdraw(self) -> list[Assignment]:
        """Take back all that wait."""
        waiting = [assignment for queue in self._waiting.values() for assignment in queue]
        self._waiting.clear()
        return waiting
