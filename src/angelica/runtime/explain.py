"""Why a task is not running yet: a code of `domain.reasons`, its parameters, and the same in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.command import FUNCTION_PREFIX
from angelica.domain.gates import gate_of, is_gate
from angelica.domain.reasons import Why
from angelica.domain.task import State, Task
from angelica.durations import format_moment
from angelica.runtime.explain_breaker import why_broken
from angelica.runtime.fitting import held_as_too_large, no_room, no_worker_fits
from angelica.runtime.fleet import is_live, takes
from angelica.runtime.limited import why_shut
from angelica.runtime.limits_desk import settings_in
from angelica.storage.protocol import Storage, WorkerInfo, WorkerRow

CLOSEST: Final = 3
MOST_LINKS: Final = 10
WORKERS: Final = ("/workers",)


async def explain(task: Task, storage: Storage) -> Why | None:
    """Return why an unfinished task waits, or that it runs; None if it has ended."""
    if task.is_terminal:
        return None
    if task.state is State.RUNNING:
        params = {"worker": task.worker, "attempt": task.attempt}
        stopping = "; it has been asked to stop" if task.cancel_requested else ""
        text = f"It is running, attempt {task.attempt} on {task.worker}{stopping}."
        return Why(reasons.RUNNING, params, blocking=(f"/workers/{task.worker}",), text=text)
    if task.state is State.WAITING:
        return await _overlapping(task, storage)
    rows, now = await storage.list_workers(), await storage.time()
    limits = {row.gate: row for row in await storage.list_limits()}
    if task.state is State.SCHEDULED:
        return no_worker_fits(task, rows, now) or _scheduled(task)
    if task.held is not None and task.held.startswith("breaker:"):
        return await why_broken(task.held, storage, now)
    if task.held is not None:
        return why_shut(task.held, limits, now) if is_gate(task.held) else _held(task, rows, now)
    missing = no_worker(task, rows, now) or no_worker_fits(task, rows, now)
    if missing is not None:
        return missing
    shut = why_shut(gate_of("queue", task.queue), limits, now)
    if shut.code != reasons.AHEAD:
        return shut
    fair = settings_in(limits, gate_of("queue", task.queue)).fair is not None
    return await no_room(task, rows, now, storage) or await (_in_turn if fair else _in_line)(task, storage)


async def _in_line(task: Task, storage: Storage) -> Why:
    """Return how many are ahead of a task."""
    ahead = await storage.count_ahead(task)
    text = f"{_count(ahead, 'task')} of the queue {task.queue} {'is' if ahead == 1 else 'are'} ahead of it."
    if not ahead:
        text = f"It is first in line in the queue {task.queue}, waiting for a free slot."
    busy = (f"/tasks?queue={quote(task.queue, safe='')}&status=running",)
    return Why(reasons.AHEAD, {"queue": task.queue, "ahead": ahead}, position=ahead + 1, blocking=busy, text=text)


async def _in_turn(task: Task, storage: Storage) -> Why:
    """Return who is ahead of a task in a queue that tenants share: only its own tenant's tasks have a place in line."""
    params: dict[str, Any] = {"queue": task.queue}
    busy = (f"/tasks?queue={quote(task.queue, safe='')}&status=running",)
    tenant = task.spec.extras.tenant
    text = f"The tenants of the queue {task.queue} take turns, those with the fewest running first."
    if tenant is None:  # it came before the queue was shared, and has no place until a claim has met it
        return Why(reasons.AHEAD, params, blocking=busy, text=text)
    ahead = await storage.count_ahead(task)
    params |= {"tenant": tenant, "ahead": ahead}
    text += f" {_count(ahead, 'task')} of its own tenant {'is' if ahead == 1 else 'are'} ahead of it."
    return Why(reasons.AHEAD, params, position=ahead + 1, blocking=busy, text=text)


def no_worker(task: Task, rows: Sequence[WorkerRow], now: Now) -> Why | None:
    """Return why no live worker can take the task, None if one can."""
    live = [row.info for row in rows if takes(row, now)]
    drained = sum(is_live(row, now) for row in rows) - len(live)
    serving = [info for info in live if _serves(info, task)]
    capable = [info for info in serving if not _missing(task, info)]
    if any(task.function in info.functions for info in capable):
        return None
    if live and task.spec.extras.requires and not capable:
        return _incapable(task, live)
    params = {"queue": task.queue, "function": task.function, "workers": len(live)}
    if not live and drained:
        text = f"No worker claims: of {_count(drained, 'live worker')} each drains or stops."
    elif not live:
        text = "No worker is alive."
    elif not serving:
        text = f"None of the {_count(len(live), 'live worker')} serves the queue {task.queue} and takes its labels."
        if all(not info.select for info in live):
            text = f"None of the {_count(len(live), 'live worker')} serves the queue {task.queue}."
    else:
        text = f"None of the {_count(len(serving), 'live worker')} of the queue {task.queue} {_knows(task)}."
    return Why(reasons.NO_WORKER, params, blocking=WORKERS, text=text)


def _serves(info: WorkerInfo, task: Task) -> bool:
    """Whether a worker looks at tasks of this queue and with these labels."""
    in_queue = info.queues is None or task.queue in info.queues
    return in_queue and info.select.items() <= task.spec.extras.labels.items()


def _held(task: Task, rows: Sequence[WorkerRow], now: Now) -> Why:
    """Return why a task is held, and who could run it."""
    held = task.held or ""
    able = [row.info.id for row in rows if takes(row, now) and task.function in row.info.functions]
    params = {"function": task.function, "workers": len(able)}
    if held == reasons.NO_CAPABLE_WORKER:
        return _incapable(task, [row.info for row in rows if takes(row, now)])
    if held == reasons.NO_WORKER_FITS:
        return held_as_too_large(task, rows, now)
    if held != reasons.UNKNOWN_FUNCTION:
        return Why(held, params, text=f"It is held: {held}.")
    text = f"No live worker has {_code(task)}; one that has takes it as soon as it starts."
    if able:
        text = f"It met a worker without {_code(task)}; {able[0]} has it and takes it next."
    return Why(held, params, blocking=WORKERS, text=text)


def _missing(task: Task, info: WorkerInfo) -> dict[str, str]:
    """Return what a task requires and a worker lacks."""
    return {name: value for name, value in task.spec.extras.requires.items() if info.labels.get(name) != value}


def _incapable(task: Task, live: Sequence[WorkerInfo]) -> Why:
    """Return that no worker has the labels, and which ones lack the least."""
    closest = sorted(((len(_missing(task, info)), info.id, info) for info in live), key=lambda each: each[:2])[:CLOSEST]
    params = {
        "requires": dict(task.spec.extras.requires),
        "workers": len(live),
        "closest": [{"worker": name, "missing": _missing(task, info)} for _, name, info in closest],
    }
    text = f"None of the {_count(len(live), 'live worker')} has {pairs_text(task.spec.extras.requires)}."
    if closest:
        least, name, info = closest[0]
        text += f" The closest is {name}, without {pairs_text(_missing(task, info))}."
        if not least:
            text = f"{name} has what it requires, and frees it with its next heartbeat."
    elif not live:
        text = f"No worker claims, and it requires {pairs_text(task.spec.extras.requires)}."
    near = tuple(f"/workers/{name}" for _, name, _ in closest)
    return Why(reasons.NO_CAPABLE_WORKER, params, blocking=near or WORKERS, text=text)


def pairs_text(labels: Mapping[str, str]) -> str:
    """Return labels as they are typed."""
    return ", ".join(f"{name}={value}" for name, value in labels.items())


def _code(task: Task) -> str:
    name = task.function
    if task.spec.executor == "command":
        return f"the command {name.removeprefix(FUNCTION_PREFIX)} in its configuration"
    return f"code for the function {name}"


def _knows(task: Task) -> str:
    return f"has {_code(task)}" if task.spec.executor == "command" else f"knows {task.function}"


def _scheduled(task: Task) -> Why:
    until = format_moment(task.run_at)
    if task.failures or task.crashes:
        params = {"until": until, "failures": task.failures, "crashes": task.crashes, "retries": task.policy.retries}
        text = f"It failed {_count(task.failures + task.crashes, 'time')} and is tried again at {until}."
        return Why(reasons.BACKOFF, params, blocking=(f"/tasks/{task.id}/attempts",), text=text)
    return Why(reasons.SCHEDULED, {"until": until}, text=f"It is due at {until}.")


async def _overlapping(task: Task, storage: Storage) -> Why:
    """Return which runs of its schedule a run waits for: all that are not waiting, and those that wait before it."""
    name = task.spec.extras.schedule_id or ""
    runs = await storage.unfinished_runs(name)
    before = runs.waiting[: runs.waiting.index(task.id)] if task.id in runs.waiting else ()
    params = {"schedule": name, "unfinished": len(runs.running), "ahead": len(before)}
    text = f"It waits until the schedule {name} has no unfinished run before it: {_count(len(runs.running), 'run')} now"
    text += (
        f", and {_count(len(before), 'run')} that {'waits' if len(before) == 1 else 'wait'} before it."
        if before
        else "."
    )
    blocking = tuple(f"/tasks/{each}" for each in (*runs.running, *before)[:MOST_LINKS])
    return Why(reasons.OVERLAP, params, position=len(before) + 1, blocking=blocking, text=text)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
