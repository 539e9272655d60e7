"""What a check of a store found, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MOST: Final = 20
"""Lines that one kind of problem may fill."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """`problems` in plain words, empty if all is well; `tasks` is how many rows were looked at."""

    problems: tuple[str, ...]
    tasks: int

    @property
    def ok(self) -> bool:
        return not self.problems


def counters_apart(rows: Sequence[Iterable[Any]]) -> list[str]:
    """Say which counters do not agree with the rows: (queue, state, counted, stored) each."""
    return [
        f"queue {queue!r} has {counted} {state} tasks, its counter says {stored}"
        for queue, state, counted, stored in rows[:MOST]
    ]


def rows_apart(found: Mapping[str, int]) -> list[str]:
    """Say which rows have no task."""
    return [f"{n} {what} of tasks that are not there" for what, n in found.items() if n]
