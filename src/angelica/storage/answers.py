"""The answers of calls whose outcome was unknown: what a lost reply had said, found out from what stands now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from angelica.domain.lifecycle import Completion
from angelica.domain.task import Attempt, State, Task


class Readable(Protocol):
    """The part of a storage that is asked."""

    async def get_tasks(self, task_ids: Sequence[str]) -> tuple[Task | None, ...]:
        """Return the tasks position by position."""
        ...

    async def read_attempts(self, task_id: str) -> tuple[Attempt, ...]:
        """Return the attempts of a task that did not succeed."""
        ...


async def accepted_before(storage: Readable, ends: Sequence[Completion], accepted: Sequence[bool]) -> tuple[bool, ...]:
    """Say of ends that were sent again, and refused, which were written by a call before.

    That is the first of an attempt that stands as it says. One read for all that succeeded, one for each other.
    """
    found = list(accepted)
    seen = {end.lease for end, done in zip(ends, accepted, strict=True) if done}
    refused = [(place, end) for place, end in enumerate(ends) if not accepted[place] and end.lease not in seen]
    won = list(dict.fromkeys(end.task_id for _, end in refused if end.outcome == "succeeded"))
    tasks = dict(zip(won, await storage.get_tasks(won) if won else (), strict=True))
    for place, end in refused:
        if end.lease not in seen and await _stands(storage, end, tasks.get(end.task_id)):
            found[place] = True
            seen.add(end.lease)
    return tuple(found)


async def _stands(storage: Readable, end: Completion, task: Task | None) -> bool:
    if end.outcome == "succeeded":
        stands = (end.attempt, State.SUCCEEDED, end.finished_at, end.result)
        return task is not None and (task.attempt, task.state, task.finished_at, task.result) == stands
    rows = await storage.read_attempts(end.task_id)
    stands_as = (end.attempt, end.outcome, end.finished_at, end.error)
    return any((row.attempt, row.outcome, row.finished_at, row.error) == stands_as for row in rows)
