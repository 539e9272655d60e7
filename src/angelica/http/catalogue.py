"""What can run and who runs it, over HTTP: functions and workers."""

from __future__ import annotations

from typing import Any

import msgspec

from angelica.errors import NotFound
from angelica.http.answers import Answer, json_answer
from angelica.http.call import Call
from angelica.http.views import moment
from angelica.storage.protocol import FunctionRow, WorkerRow


async def functions(call: Call) -> Answer:
    """GET /functions."""
    rows = await call.host.service.functions()
    return json_answer({"items": [function_view(row) for row in rows], "next_cursor": None})


async def function(call: Call) -> Answer:
    """GET /functions/{name}: with all its versions."""
    name = call.params["name"]
    rows = [row for row in await call.host.service.functions() if row.name == name]
    if not rows:
        raise NotFound(f"no function is called {name!r}; see GET /functions")
    newest = max(rows, key=lambda row: row.version)
    return json_answer({**function_view(newest), "versions": sorted(row.version for row in rows)})


def function_view(row: FunctionRow) -> dict[str, Any]:
    """Return the view of a function: the JSON Schema of its arguments and its defaults."""
    return {
        "name": row.name,
        "version": row.version,
        "executor": row.executor,
        "doc": row.doc,
        "schema": _json(row.schema),
        "defaults": _json(row.defaults),
        "seen_time": moment(row.seen_at),
    }


async def workers(call: Call) -> Answer:
    """GET /workers."""
    rows = await call.host.service.workers()
    return json_answer({"items": [worker_view(row) for row in rows], "next_cursor": None})


def worker_view(row: WorkerRow) -> dict[str, Any]:
    """Return the view of a worker; `queues` null means every queue."""
    info = row.info
    return {
        "worker_id": info.id,
        "host": info.host,
        "pid": info.pid,
        "version": info.version,
        "start_time": moment(info.started_at),
        "seen_time": moment(row.seen_at),
        "slots": info.slots,
        "running": row.running,
        "queues": info.queues,
        "functions": info.functions,
        "labels": dict(info.labels),
    }


def _json(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode() if text else b"null")
