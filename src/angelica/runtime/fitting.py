"""Fitting: tasks that need more of a machine than a live worker has to give, or has free now, and how that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.lanes import needs_of
from angelica.domain.placement import goes_before
from angelica.domain.reasons import Why
from angelica.domain.resources import Amount, amount_of, shown, taken_by
from angelica.domain.task import State, Task
from angelica.runtime.fleet import takes
from angelica.runtime.intake import Accepted, Replies
from angelica.storage.protocol import Storage, TaskFilter, WorkerInfo, WorkerRow

SEEN: Final = 500
"""How many of the tasks that run in a worker are looked at."""
ASKED: Final = 50
"""How many workers are looked into."""
TOLD: Final = 3
LISTED: Final = 10
WORKERS: Final = ("/workers",)


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


def able(task: Task, rows: Sequence[WorkerRow], now: Now) -> list[WorkerInfo]:
    """Return the live workers that could run a task, whatever it needs of a machine."""
    return [row.info for row in rows if takes(row, now) and _could_run(row.info, task)]


def _could_run(info: WorkerInfo, task: Task) -> bool:
    extras = task.spec.extras
    return (
        (info.queues is None or task.queue in info.queues)
        and info.select.items() <= extras.labels.items()
        and task.function in info.functions
        and extras.requires.items() <= info.labels.items()
        and (not info.capacity or task.spec.executor in info.capacity)
    )


def no_worker_fits(task: Task, rows: Sequence[WorkerRow], now: Now) -> Why | None:
    """Return that a task needs more than any live worker has that could run it, None if one has it or there is none."""
    resources = task.spec.extras.resources
    infos = able(task, rows, now) if resources else []
    if not infos or any(info.offer.capacity.fits(resources) for info in infos):
        return None
    largest = {name: max(getattr(info, name) for info in infos) for name in ("cpu", "memory")}
    text = f"It needs {shown(resources)}, and no live worker has that to give: at most {shown(largest)}."
    return _too_large(task, largest, text)


def held_as_too_large(task: Task, rows: Sequence[WorkerRow], now: Now) -> Why:
    """Return why a task is held that was larger than every live worker, as it stands now."""
    found = no_worker_fits(task, rows, now)
    if found is not None:
        return found
    resources = task.spec.extras.resources
    fitting = [info for info in able(task, rows, now) if info.offer.capacity.fits(resources)]
    text = f"It needs {shown(resources)}, and no live worker can take it."
    if fitting:
        text = f"{fitting[0].id} has what it needs, and frees it with its next heartbeat."
    return _too_large(task, None, text)


def _too_large(task: Task, largest: dict[str, Any] | None, text: str) -> Why:
    params = {"needs": dict(task.spec.extras.resources), "largest": largest}
    return Why(reasons.NO_WORKER_FITS, params, blocking=WORKERS, text=text)


@dataclass(frozen=True, slots=True)
class Place:
    """A worker that is large enough: what of it is free, and which tasks take the rest.

    It may keep itself free, for the task in question (`mine`) or for another one before it.
    """

    info: WorkerInfo
    free: Amount
    tasks: tuple[str, ...]
    mine: bool
    kept_for_another: bool

    @property
    def view(self) -> dict[str, Any]:
        """What is told of it; a part that it does not look at is None."""
        cpu, memory = self.info.cpu, self.info.memory
        return {
            "worker": self.info.id,
            "capacity": {"cpu": cpu or None, "memory": memory or None},
            "free": {"cpu": self.free.cpu / 1000 if cpu else None, "memory": self.free.memory if memory else None},
            "tasks": len(self.tasks),
            "kept_for_another": self.kept_for_another,
        }


async def no_room(task: Task, rows: Sequence[WorkerRow], now: Now, storage: Storage) -> Why | None:
    """Return that a task fits some workers, and none of them now; None where one has room for it."""
    resources = task.spec.extras.resources
    fitting = [info for info in able(task, rows, now) if info.offer.capacity.fits(resources)] if resources else []
    places = []
    for info in fitting[:ASKED]:
        where = TaskFilter(states=frozenset({State.RUNNING}), worker=info.id)
        running = (await storage.list_tasks(where, limit=SEEN, newest_first=False)).items
        place = _place(info, task, running, now)
        if place is None:
            return None
        places.append(place)
    if not places:
        return None
    ahead = await storage.count_ahead(task)
    places.sort(key=lambda place: (not place.mine, place.kept_for_another, len(place.tasks), place.info.id))
    keeper = next((place.info.id for place in places if place.mine), None)
    params = {
        "needs": dict(resources),
        "workers": [place.view for place in places[:LISTED]],
        "reserved": keeper,
        "ahead": ahead,
    }
    links = tuple(f"/tasks/{name}" for place in places for name in place.tasks)[:LISTED]
    text = _text(resources, places, keeper)
    return Why(reasons.NO_ROOM, params, position=ahead + 1, blocking=links or WORKERS, text=text)


def _place(info: WorkerInfo, task: Task, running: Sequence[Task], now: Now) -> Place | None:
    """Return how a worker stands that has no room for a task, None if it has."""
    needs = amount_of(task.spec.extras.resources)
    others = [each for each in running if each.spec.extras.resources]
    taken = taken_by(each.spec.extras.resources for each in others)
    kept = info.kept
    mine = kept is not None and (kept.queue, kept.due) == (task.queue, task.run_at)
    mine = mine and kept is not None and needs_of(kept.lane).amount == needs
    first = kept is None or mine or goes_before(kept, task.queue, task.spec.priority, task.run_at, now=now)
    if first and info.offer.capacity.times(needs, taken):
        return None
    free = Amount(max(round(info.cpu * 1000) - taken.cpu, 0), max(info.memory - taken.memory, 0))
    return Place(info, free, tuple([each.id for each in others]), mine, not first)


def _text(resources: Any, places: Sequence[Place], keeper: str | None) -> str:
    parts = []
    for place in places[:TOLD]:
        whole = {
            name: value for name in ("cpu", "memory") if name in resources and (value := getattr(place.info, name))
        }
        view = place.view["free"]
        free = {name: view[name] for name in whole}
        part = f"{place.info.id} has {shown(free)} free of {shown(whole)}"
        if place.kept_for_another:
            part = f"{place.info.id} keeps itself free for another task"
        parts.append(part)
    more = len(places) - TOLD
    more_text = f" (and {more} more)" if more > 0 else ""
    end = "The first in line that was due for 30 seconds gets a worker that keeps itself free for it."
    if keeper is not None:
        end = f"{keeper} keeps itself free for it."
    return f"It needs {shown(resources)}, and waits for room: {'; '.join(parts)}{more_text}. {end}"
