"""Settling a dead worker: what it held is ended at once, as crashed or released, without waiting for its lease."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.lifecycle import Completion, complete
from angelica.domain.outcome import Crashed, Outcome, Released
from angelica.domain.task import Task, TaskError
from angelica.runtime.startfile import Started, read_start_file
from angelica.storage.protocol import TaskStore

PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker process ended: by `signal`, with `code`, or unknown to us (both None: found gone)."""

    pid: int
    code: int | None = None
    signal: int | None = None

    @classmethod
    def of_returncode(cls, pid: int, returncode: int | None) -> Death:
        """Read a return code as `subprocess` gives it: negative means a signal."""
        if returncode is None:
            return cls(pid)
        return cls(pid, signal=-returncode) if returncode < 0 else cls(pid, code=returncode)

    def words(self) -> str:
        """Say it in a few words, e.g. `was killed by SIGKILL`."""
        if self.signal is not None:
            try:
                return f"was killed by {signal.Signals(self.signal).name}"
            except ValueError:
                return f"was killed by signal {self.signal}"
        return f"exited with code {self.code}" if self.code is not None else "is gone"


@dataclass(frozen=True, slots=True)
class Settled:
    """The ends that the store accepted, for events, and how many of each kind."""

    ends: tuple[tuple[Task, Completion], ...] = ()
    crashed: int = 0
    released: int = 0


async def settle_worker(
    storage: TaskStore,
    worker: str,
    *,
    death: Death,
    start_file: str | None,
    now: Now,
    chance: Callable[[], float],
) -> Settled:
    """End all that the dead `worker` still holds and void its lease.

    An attempt that had begun by its start file is `Crashed`, all others are `Released` (see `has_begun`). Only call
    it for a worker that is known to be dead. Safe to repeat and to race with a sweep: every end is fenced.
    """
    started = read_start_file(start_file) if start_file else None
    await storage.end_worker(worker, now=now)
    ends: list[tuple[Task, Completion]] = []
    while True:
        held = [task for task in await storage.expired(now=now, limit=PAGE) if task.worker == worker]
        if not held:
            break
        batch = [
            complete(
                task,
                judge(task, started, death),
                now=now,
                chance=chance(),
                started_at=task.started_at,
                expired_by=now.tick,
            )
            for task in held
        ]
        reply = await storage.exchange(batch, None, now=now)
        done = [pair for pair, ok in zip(zip(held, batch, strict=True), reply.accepted, strict=True) if ok]
        ends += done
        if not done:  # another process settles them, or the page is full of others' tasks: the sweep sees to it
            break
    if not await storage.end_worker(worker, now=now) and started and start_file:
        _remove(start_file)
    crashed = sum(end.outcome != "released" for _, end in ends)
    return Settled(tuple(ends), crashed, len(ends) - crashed)


def judge(task: Task, started: Started | None, death: Death) -> Outcome:
    """Return how the attempt that `task` was in has ended, given what its worker's start file says."""
    if not has_begun(task, started):
        return Released()
    message = f"its worker process (pid {death.pid}) {death.words()}"
    kind = "SegmentationFault" if death.signal == signal.SIGSEGV else "WorkerDied"
    return Crashed(TaskError(reasons.CRASHED, type=kind, message=message, attempt=task.attempt))


def has_begun(task: Task, started: Started | None) -> bool:
    """Whether the attempt that `task` is in counts as begun, given its worker's start file (None: not to be read).

    A task that forgives no crash runs at most once, so it is also taken as begun where its handler had returned but
    that was not stored, and where nothing is known.
    """
    lease, at_most_once = task.lease, task.policy.max_crashes == 0
    if started is not None:
        if lease in started.running:
            return True
        if lease in started.ended:
            return at_most_once
        if not started.full:
            return False
    return task.started_at is not None or at_most_once


def _remove(start_file: str) -> None:
    with suppress(OSError):
        Path(start_file).unlink()
