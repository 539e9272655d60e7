"""What the worker asks of every executor, and what it hands to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from angelica.domain.outcome import Outcome
from angelica.runtime.assignment import Assignment

Begin = Callable[[Assignment], Outcome | None]
"""Called right before a handler, in its thread: marks it started, or returns the outcome if it must not start."""

Done = Callable[[Assignment, Outcome], None]
"""Called on the event loop when an attempt has ended."""


class Executor(Protocol):
    """Runs assignments of one kind in its own slots."""

    kind: str
    slots: int

    @property
    def problem(self) -> str | None:
        """What keeps it from running anything, None while all is well."""
        ...

    def load(self) -> int:
        """Return how many assignments it has, running and waiting."""
        ...

    def submit(self, assignments: Iterable[Assignment]) -> None:
        """Take assignments; those beyond the free slots wait in order. On the event loop."""
        ...

    def withdraw(self) -> list[Assignment]:
        """Give back all assignments that have not begun."""
        ...

    def first_waiting(self) -> Assignment | None:
        """Return the first that has not begun, None if none waits."""
        ...

    def recall(self, assignment: Assignment) -> bool:
        """Give one back if it has not begun; return whether it was given back."""
        ...

    async def halt(self) -> None:
        """End by force what still runs, where that can be done; its outcome comes by `done`."""
        ...

    async def close(self) -> None:
        """Release threads and tasks; handlers that still run are abandoned."""
        ...
