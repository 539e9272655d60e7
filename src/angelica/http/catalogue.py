"""What can run, over HTTP: functions."""

from __future__ import annotations

from typing import Any

import msgspec

from angelica.errors import NotFound
from angelica.http.answers import Answer, json_answer
from angelica.http.call import Call
from angelica.http.suggestions import suggestion_view
from angelica.http.views import moment
from angelica.runtime.commands.target import EXECUTOR
from angelica.runtime.limits_desk import settings_in, settings_view
from angelica.storage.protocol import FunctionRow


async def functions(call: Call) -> Answer:
    """GET /functions."""
    rows = await call.host.service.functions()
    return json_answer({"items": [function_view(row) for row in rows], "next_cursor": None})


async def function(call: Call) -> Answer:
    """GET /functions/{name}: with all its versions, and limits suggested by its latest runs; `command:NAME` too."""
    name = call.params["name"]
    service = call.host.service
    rows = [row for row in await service.functions() if row.name == name]
    if not rows:
        command = await service.records.command(name)
        if command is None:
            raise NotFound(f"no function is called {name!r}; see GET /functions")
        rows = [command]
    newest = max(rows, key=lambda row: row.version)
    limits = settings_in(await service.limits.rows("function"), f"function:{name}")
    return json_answer(
        {
            **function_view(newest),
            "versions": sorted(row.version for row in rows),
            "limits": settings_view(limits, "function"),
            "suggestion": suggestion_view(await service.records.suggest(name), command=newest.executor == EXECUTOR),
        }
    )


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


def _json(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode() if text else b"null")
