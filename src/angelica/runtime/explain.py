"""Why a task is not running yet: a code of `domain.reasons`, its parameters, and the same in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.command import FUNCTION_PREFIX
from angelica.domain.reasons import Why
from angelica.domain.resources import Capacity, shown
from angelica.domain.task import State, Task
from angelica.durations import format_moment
from angelica.runtime.intake import Accepted, Replies
from angelica.storage.protocol import Storage, WorkerRow


async def explain(task: Task, storage: Storage) -> Why | None:
    """Return why an unfinished task waits, or that it runs; None if it has ended."""
    if task.is_terminal:
        return None
    if task.state is State.RUNNING:
        params = {"worker": task.worker, "attempt": task.attempt}
        stopping = "; it has been asked to stop" if task.cancel_requested else ""
        return Why(reasons.RUNNING, params, text=f"It is running, attempt {task.attempt} on {task.worker}{stopping}.")
    if task.state is State.SCHEDULED:
        return await _too_large(task, storage) or _scheduled(task)
    if task.held is not None:
        text = f"It is held: {task.held}."
        if task.held == reasons.UNKNOWN_FUNCTION:
            text = f"No worker that has looked at it {_knows(task)}."
        return Why(task.held, {"function": task.function}, text=text)
    missing = no_worker(task, await storage.list_workers(), await storage.time()) or await _too_large(task, storage)
    if missing is not None:
        return missing
    ahead = await storage.count_ahead(task)
    text = f"{_count(ahead, 'task')} of the queue {task.queue} {'is' if ahead == 1 else 'are'} ahead of it."
    if not ahead:
        text = f"It is first in line in the queue {task.queue}, waiting for a free slot."
    return Why(reasons.AHEAD, {"queue": task.queue, "ahead": ahead}, position=ahead + 1, text=text)


def no_worker(task: Task, rows: Sequence[WorkerRow], now: Now) -> Why | None:
    """Return why no live worker can take the task, None if one can."""
    live = [row.info for row in rows if row.lease_until > now.tick]
    serving = [info for info in live if info.queues is None or task.queue in info.queues]
    if any(task.function in info.functions for info in serving):
        return None
    params = {"queue": task.queue, "function": task.function, "workers": len(live)}
    if not live:
        text = "No worker is alive."
    elif not serving:
        text = f"None of the {_count(len(live), 'live worker')} serves the queue {task.queue}."
    else:
        text = f"None of the {_count(len(serving), 'live worker')} of the queue {task.queue} {_knows(task)}."
    return Why(reasons.NO_WORKER, params, text=text)


async def warned(replies: Replies, storage: Storage) -> Replies:
    """Return replies with a warning at each task that is larger than every live worker: it waits for another."""
    rows, now = await storage.list_workers(), await storage.time()
    items = [
        replace(each, warnings=(found.text,))
        if isinstance(each, Accepted) and (found := no_worker_fits(each.task, rows, now)) is not None
        else each
        for each in replies.items
    ]
    return replace(replies, items=tuple(items))


async def _too_large(task: Task, storage: Storage) -> Why | None:
    if not task.spec.extras.resources:
        return None
    return no_worker_fits(task, await storage.list_workers(), await storage.time())


def no_worker_fits(task: Task, rows: Sequence[WorkerRow], now: Now) -> Why | None:
    """Return that a task needs more than any live worker has, None if one has it or none is alive."""
    resources = task.spec.extras.resources
    live = [row.info for row in rows if row.lease_until > now.tick and row.info.boot == now.boot]
    if not resources or not live or any(Capacity(info.cpu, info.memory).fits(resources) for info in live):
        return None
    largest = {name: max(getattr(info, name) for info in live) for name in ("cpu", "memory")}
    text = f"It needs {shown(resources)}, and no live worker has that to give: at most {shown(largest)}."
    return Why(reasons.NO_WORKER_FITS, {"needs": dict(resources), "largest": largest}, text=text)


def _knows(task: Task) -> str:
    name = task.function
    if task.spec.executor == "command":
        return f"has the command {name.removeprefix(FUNCTION_PREFIX)} in its configuration"
    return f"knows {name}"


def _scheduled(task: Task) -> Why:
    until = format_moment(task.run_at)
    if task.failures or task.crashes:
        params = {"until": until, "failures": task.failures, "crashes": task.crashes, "retries": task.policy.retries}
        text = f"It failed {_count(task.failures + task.crashes, 'time')} and is tried again at {until}."
        return Why(reasons.BACKOFF, params, text=text)
    return Why(reasons.SCHEDULED, {"until": until}, text=f"It is due at {until}.")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
