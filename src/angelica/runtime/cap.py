"""The cap: at most so many attempts at once over all executors of a worker process (`-c`, the setting `slots`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from angelica.runtime.assignment import Assignment
from angelica.runtime.executors.base import Executor


class Cap:
    """Stands before the executors; whoever does not get in waits here in order of claim. `limit` None lets all in."""

    def __init__(self, limit: int | None, executors: Mapping[str, Executor]) -> None:
        self._limit = limit
        self._executors = executors
        self._inside = 0
        self._waiting: deque[Assignment] = deque()

    def submit(self, kind: str, assignments: Sequence[Assignment]) -> None:
        """Hand assignments of one kind to their executor, as far as there is room."""
        if self._limit is None:
            self._executors[kind].submit(assignments)
            return
        free = max(self._limit - self._inside, 0)
        self._waiting.extend(assignments[free:])
        if free:
            admitted = assignments[:free]
            self._inside += len(admitted)
            self._executors[kind].submit(admitted)

    def leave(self) -> None:
        """An executor is done with one: let the next in."""
        if self._limit is None:
            return
        self._inside -= 1
        if self._waiting and self._inside < self._limit:
            candidate = self._waiting.popleft()
            self._inside += 1
            self._executors[candidate.code.executor].submit((candidate,))

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def first_waiting(self) -> Assignment | None:
        """Return the first that waits."""
        return self._waiting[0] if self._waiting else None

    def recall(self, assignment: Assignment) -> bool:
        """Take one back that waits; return whether it did."""
        try:
            self._waiting.remove(assignment)
        except ValueError:
            return False
        return True

    def withdraw(self) -> list[Assignment]:
        """Take back all that wait."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting
