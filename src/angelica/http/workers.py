"""Workers over HTTP: who runs tasks, what each does now, and asking it to drain, to go on or to stop."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from angelica.clock import SECOND, Now
from angelica.domain.task import Task
from angelica.http.answers import Answer, json_answer
from angelica.http.call import Call
from angelica.http.table import Endpoint
from angelica.http.views import moment
from angelica.runtime.fleet import state_of
from angelica.storage.protocol import Control, WorkerRow

ONE: Final = "/workers/{worker_id}"


async def index(call: Call) -> Answer:
    """GET /workers."""
    fleet = call.host.service.fleet
    rows, now = await fleet.all(), await fleet.now()
    return json_answer({"items": [worker_view(row, now) for row in rows], "next_cursor": None})


async def show(call: Call) -> Answer:
    """GET /workers/{worker_id}: with what it runs now."""
    fleet = call.host.service.fleet
    row = await fleet.one(call.params["worker_id"])
    tasks = await fleet.tasks_of(row.info.id)
    return json_answer({**worker_view(row, await fleet.now()), "tasks": [held_view(task) for task in tasks]})


async def ask(control: Control, call: Call) -> Answer:
    """POST /workers/{worker_id}/drain, …/resume and …/stop: 202, it follows within a heartbeat."""
    await call.options({})
    fleet = call.host.service.fleet
    row = await fleet.control(call.params["worker_id"], control)
    return json_answer(worker_view(row, await fleet.now()), 202)


def worker_view(row: WorkerRow, now: Now) -> dict[str, Any]:
    """Return the view of a worker; `queues` null means every queue, `cpu` or `memory` null that it does not look at it.

    `keeps_free_for`: a task that is due since then and needs more than is free in it.
    """
    info = row.info
    return {
        "worker_id": info.id,
        "state": state_of(row, now),
        "host": info.host,
        "pid": info.pid,
        "version": info.version,
        "start_time": moment(info.started_at),
        "seen_time": moment(row.seen_at),
        "heartbeat_age": max(now.wall - row.seen_at, 0) / SECOND,
        "control": row.control,
        "heeds": info.heeds,
        "slots": info.slots,
        "capacity": dict(info.capacity),
        "cpu": info.cpu or None,
        "memory": info.memory or None,
        "keeps_free_for": None if info.kept is None else {"queue": info.kept.queue, "due_time": moment(info.kept.due)},
        "running": row.running,
        "queues": info.queues,
        "functions": info.functions,
        "labels": dict(info.labels),
        "select": dict(info.select),
    }


def held_view(task: Task) -> dict[str, Any]:
    """Return what is shown of a task that a worker holds; one that has no start yet waits there for its slot."""
    return {
        "task_id": task.id,
        "name": task.function,
        "queue": task.queue,
        "attempt": task.attempt,
        "start_time": None if task.started_at is None else moment(task.started_at),
    }


def endpoints() -> tuple[Endpoint, ...]:
    """Return the addresses of workers."""
    summaries: tuple[tuple[str, Control, str], ...] = (
        ("drain", "drain", "Let a worker end what it runs and claim no more"),
        ("resume", "run", "Let a worker that drains claim again"),
        ("stop", "stop", "Stop a worker as SIGTERM does; a supervisor does not start it again"),
    )
    return (
        Endpoint("GET", "/workers", index, "read", "List workers", {200: "WorkerList"}, tag="workers"),
        *[
            Endpoint(
                "POST",
                f"{ONE}/{word}",
                partial(ask, control),
                "operate",
                summary,
                {202: "Worker"},
                body="Nothing",
                body_required=False,
                tag="workers",
                problems=(404, 409, 415, 422),
            )
            for word, control, summary in summaries
        ],
        Endpoint(
            "GET",
            ONE,
            show,
            "read",
            "Show a worker and what it runs",
            {200: "Worker"},
            tag="workers",
            problems=(404,),
        ),
    )
