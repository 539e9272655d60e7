"""The app under attack in an engine that is broken on purpose: a checker that does not see this proves nothing.

`CHAOS_BREAK` names what is broken, comma separated:

    unfenced  a completion counts whoever holds the task now, and a handler is never told to stop
    early     a submit is answered before its commit
    deaf      while the file `deaf.PID` stands beside the witness, this worker's heartbeat does not reach the store

The patches live here, outside the product, and work on the process that imports this module.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from angelica.domain.lifecycle import Completion
from angelica.errors import StorageUnavailable
from angelica.runtime.assignment import Assignment
from angelica.storage.protocol import Enqueued, Submitted
from angelica.storage.sqlite import adapter
from bench.chaos.app import engine
from bench.chaos.witness import VARIABLE

__all__ = ["engine"]

SLOW_COMMIT = 0.2


def _unfenced() -> None:
    write_ends: Callable[..., Awaitable[list[bool]]] = adapter.write_ends

    async def write_unfenced(tx: Any, ends: Sequence[Completion], *, now: Any) -> list[bool]:
        current = []
        for end in ends:
            attempt = tx.query("select attempt from tasks where id = ?", (end.task_id,))
            current.append(replace(end, attempt=attempt))
        return await write_ends(tx, current, now=now)

    def never_told(*_: object) -> bool:
        return False

    adapter.write_ends = write_unfenced  # type: ignore[assignment]
    Assignment.stop = never_told  # type: ignore[method-assign]


def _early() -> None:
    enqueue_many = adapter.SqliteStorage.enqueue_many
    late: set[asyncio.Task[Any]] = set()

    async def write(storage: Any, tasks: Any, how: Any) -> None:
        await asyncio.sleep(SLOW_COMMIT)
        await enqueue_many(storage, tasks, **how)

    async def answer_first(storage: Any, tasks: Any, **how: Any) -> Enqueued:
        task = asyncio.create_task(write(storage, tasks, how))
        late.add(task)
        task.add_done_callback(late.discard)
        return Enqueued(tuple(Submitted(each.id, "created") for each in tasks))

    adapter.SqliteStorage.enqueue_many = answer_first  # type: ignore[method-assign,assignment]


def _deaf() -> None:
    heartbeat = adapter.SqliteStorage.heartbeat

    async def heartbeat_unless_deaf(storage: Any, beat: Any, **how: Any) -> Any:
        if deaf_file(Path(os.environ[VARIABLE]), os.getpid()).exists():
            raise StorageUnavailable("deaf on purpose")
        return await heartbeat(storage, beat, **how)

    adapter.SqliteStorage.heartbeat = heartbeat_unless_deaf  # type: ignore[method-assign,assignment]


def deaf_file(witness: Path, pid: int) -> Path:
    """Return the file that makes a worker deaf."""
    return witness.with_name(f"deaf.{pid}")


for _what in os.environ.get("CHAOS_BREAK", "").split(","):
    if _what:
        {"unfenced": _unfenced, "early": _early, "deaf": _deaf}[_what]()
