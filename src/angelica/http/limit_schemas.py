"""The schemas of queues and limits in the API document."""

from __future__ import annotations

from typing import Any, Final

from angelica.http.schema_forms import DURATION, FLAG, INTEGER, MOMENT, TEXT, Schema, listed, nullable, ref, thing

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_RATE: Final[Schema] = {"type": "string", "description": 'How many may begin in any period: "100/m", "5/s", "1/30s".'}
_LIMITS: Final[dict[str, Any]] = {"max_running": nullable(_COUNT), "rate": nullable(_RATE)}
_QUEUE: Final[dict[str, Any]] = {
    **_LIMITS,
    "paused": FLAG,
    "max_depth": {**nullable(_COUNT), "description": "How many may wait in it; a submit beyond that is refused."},
    "fair": {**nullable(TEXT), "description": "The header that names the tenants who share it evenly."},
    "ageing": {**nullable(DURATION), "description": "The wait that is worth one step of priority (a minute)."},
}
_FAIR_CHANGE: Final[dict[str, Any]] = {
    "anyOf": [TEXT, {"const": False}, {"type": "null"}],
    "description": "The header that names the tenants; false: shared by nobody, null: what the settings say.",
}
_CHANGED: Final[dict[str, Any]] = {
    "reason": nullable(TEXT),
    "changed_by": nullable(TEXT),
    "change_time": nullable(MOMENT),
}

LIMIT_SCHEMAS: Final[dict[str, Schema]] = {
    "Queue": thing(
        "A queue, and what holds for it.",
        "name waiting running paused",
        name=TEXT,
        waiting=INTEGER,
        running=INTEGER,
        **_QUEUE,
        **_CHANGED,
    ),
    "QueueList": listed(ref("Queue"), next_cursor=nullable(TEXT)),
    "QueueChange": thing(
        "Fields to set; null takes one back.",
        **{**_QUEUE, "paused": nullable(FLAG), "fair": _FAIR_CHANGE},
        reason=TEXT,
    ),
    "Reason": thing("Why, for those who look at it later.", reason=TEXT),
    "Limit": thing(
        "A limit, or one key of it.",
        "name running",
        name=TEXT,
        key=nullable(TEXT),
        **_LIMITS,
        declared={"type": "object", "description": "What the code says; what is set goes before it."},
        running=INTEGER,
        **_CHANGED,
    ),
    "LimitList": listed(ref("Limit"), next_cursor=nullable(TEXT)),
    "LimitChange": thing("Fields to set; null takes one back.", **_LIMITS, reason=TEXT),
}
