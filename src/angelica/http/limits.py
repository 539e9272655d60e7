"""Queues and limits over HTTP: what may run at once and begin in a period, and changing it while all goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from angelica.domain.gates import Kind, gate_of, parts_of
from angelica.domain.task import State
from angelica.errors import NotFound
from angelica.http.answers import Answer, json_answer
from angelica.http.call import Call, invalid_body
from angelica.http.catalogue import function
from angelica.http.problems import field_problem
from angelica.http.table import Endpoint
from angelica.http.views import moment
from angelica.runtime.limits_desk import settings_in, settings_view
from angelica.storage.protocol import LimitRow

QUEUE: Final = "/queues/{name}"
LIMIT: Final = "/limits/{name}"
KEY: Final = "/limits/{name}/{key}"
_WAITING: Final = (State.WAITING, State.SCHEDULED, State.QUEUED)


async def queues(call: Call) -> Answer:
    """GET /queues."""
    rows = await call.host.service.limits.queues()
    counts = await call.host.service.counts()
    return json_answer({"items": [queue_view(n, row, counts) for n, row in rows.items()], "next_cursor": None})


async def queue(call: Call) -> Answer:
    """GET /queues/{name}."""
    return await _queue(call)


async def change_queue(call: Call) -> Answer:
    """PATCH /queues/{name}: null takes a field back."""
    await _change(call, "queue")
    return await _queue(call)


async def pause(call: Call) -> Answer:
    """POST /queues/{name}/pause: nothing of it is claimed from now on; what runs goes on."""
    said = await call.options({"reason": str})
    changes = {"paused": True, "reason": said.get("reason")}
    await call.host.service.limits.change("queue", call.params["name"], changes, by=call.caller)
    return await _queue(call)


async def resume(call: Call) -> Answer:
    """POST /queues/{name}/resume."""
    said = await call.options({"reason": str})
    changes = {"paused": None, "reason": said.get("reason")}
    await call.host.service.limits.change("queue", call.params["name"], changes, by=call.caller)
    return await _queue(call)


async def change_function(call: Call) -> Answer:
    """PATCH /functions/{name}: null takes a field back to what the code declares."""
    await function(call)  # 404 where there is none
    await _change(call, "function")
    return await function(call)


async def limits(call: Call) -> Answer:
    """GET /limits: those that are declared or stored, and their keys that are in use."""
    rows = await call.host.service.limits.rows("limit")
    return json_answer({"items": [limit_view(gate, rows) for gate in rows], "next_cursor": None})


async def limit(call: Call) -> Answer:
    """GET /limits/{name} and /limits/{name}/{key}."""
    rows = await call.host.service.limits.rows("limit")
    gate, parent = _gate(call), gate_of("limit", call.params["name"])
    if gate not in rows and parent not in rows:
        raise NotFound(f"there is no limit {parts_of(parent)[1]!r}; see GET /limits")
    return json_answer(limit_view(gate, rows))


async def put_limit(call: Call) -> Answer:
    """PUT /limits/{name} and /limits/{name}/{key}: all that is set by operators, as a whole."""
    said = _object(call, await call.json())
    await call.host.service.limits.replace(call.params["name"], said, key=call.params.get("key", ""), by=call.caller)
    rows = await call.host.service.limits.rows("limit")
    return json_answer(limit_view(_gate(call), rows))


async def delete_limit(call: Call) -> Answer:
    """DELETE /limits/{name} and /limits/{name}/{key}: what the code declares holds again."""
    await call.host.service.limits.delete(call.params["name"], call.params.get("key", ""))
    return Answer(204)


def queue_view(name: str, row: LimitRow, counts: Mapping[tuple[str, State], int]) -> dict[str, Any]:
    """Return the view of a queue."""
    return {
        "name": name,
        "waiting": sum(counts.get((name, state), 0) for state in _WAITING),
        "running": counts.get((name, State.RUNNING), 0),
        **settings_view(settings_in({row.gate: row}, row.gate), "queue"),
        **change_view(row.override),
    }


def limit_view(gate: str, rows: Mapping[str, LimitRow]) -> dict[str, Any]:
    """Return the view of a limit or of one of its keys."""
    _, name, key = parts_of(gate)
    row = rows.get(gate, LimitRow(gate))
    return {
        "name": name,
        "key": key or None,
        **settings_view(settings_in(rows, gate), "limit"),
        "declared": dict(row.declared),
        "running": row.running,
        **change_view(row.override),
    }


def change_view(override: Mapping[str, Any]) -> dict[str, Any]:
    """Return who changed it last, when and why."""
    at = override.get("at")
    return {
        "reason": override.get("reason"),
        "changed_by": override.get("by"),
        "change_time": None if at is None else moment(at),
    }


async def _queue(call: Call) -> Answer:
    name = call.params["name"]
    row = (await call.host.service.limits.queues()).get(name)
    if row is None:
        raise NotFound(f"the queue {name!r} has no tasks and no limits; see GET /queues")
    return json_answer(queue_view(name, row, await call.host.service.counts()))


async def _change(call: Call, kind: Kind) -> None:
    said = _object(call, await call.json())
    await call.host.service.limits.change(kind, call.params["name"], said, by=call.caller)


def _object(call: Call, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        problem = field_problem("", "must be a JSON object", "wrong_type", type="object")
        raise invalid_body([problem], status=call.host.settings.validation_status)
    return value


def _gate(call: Call) -> str:
    return gate_of("limit", call.params["name"], call.params.get("key", ""))


def endpoints() -> tuple[Endpoint, ...]:
    """Return the addresses of queues and limits, and the one that changes a function's."""
    return (
        Endpoint("GET", "/queues", queues, "read", "List queues", {200: "QueueList"}, tag="queues"),
        _operate(
            "POST", f"{QUEUE}/pause", pause, "Pause a queue: nothing of it begins", "Queue", "Reason", required=False
        ),
        _operate("POST", f"{QUEUE}/resume", resume, "Let a paused queue go on", "Queue", "Reason", required=False),
        Endpoint("GET", QUEUE, queue, "read", "Show a queue", {200: "Queue"}, tag="queues", problems=(404,)),
        _operate("PATCH", QUEUE, change_queue, "Change what holds for a queue", "Queue", "QueueChange"),
        _operate(
            "PATCH", "/functions/{name}", change_function, "Change a function's limits", "Function", "LimitChange"
        ),
        Endpoint("GET", "/limits", limits, "read", "List limits", {200: "LimitList"}, tag="limits"),
        *[row for path in (LIMIT, KEY) for row in _limit_endpoints(path)],
    )


def _limit_endpoints(path: str) -> tuple[Endpoint, ...]:
    what = "a key of a limit" if path == KEY else "a limit"
    return (
        Endpoint("GET", path, limit, "read", f"Show {what}", {200: "Limit"}, tag="limits", problems=(404,)),
        _operate("PUT", path, put_limit, f"Set {what}", "Limit", "LimitChange"),
        Endpoint(
            "DELETE",
            path,
            delete_limit,
            "operate",
            f"Take back what is set for {what}",
            {204: None},
            tag="limits",
            problems=(404, 422),
        ),
    )


def _operate(
    method: str, path: str, handler: Any, summary: str, answer: str, body: str, *, required: bool = True
) -> Endpoint:
    tag = path.split("/")[1]
    return Endpoint(
        method,
        path,
        handler,
        "operate",
        summary,
        {200: answer},
        body=body,
        body_required=required,
        tag=tag,
        problems=(404, 415, 422),
    )
