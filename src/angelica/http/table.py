"""The route table's own type: one row is what is served, what is documented and who may call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from angelica.http.answers import JSON, Answer
from angelica.http.call import Call
from angelica.http.query import Parameter

Handler = Callable[[Call], Awaitable[Answer]]
Scope = Literal["open", "read", "submit", "operate", "schedule"]

SLASHED: Final = frozenset({"worker_id", "key"})
"""Path parameters whose values may hold slashes, as they stand or escaped."""

ONLY_JSON: Final = (JSON,)


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One method of one path.

    `scope` is what a token will need; `open` asks for none. `answers` maps a status to the name of a schema (or None
    for no body); `body` is the schema of the request. `accepts` are the media types of the answer, best first.
    `headers` are request headers that it reads. `site` is False for pages that only the standalone server has.
    """

    method: str
    path: str
    handler: Handler
    scope: Scope
    summary: str
    answers: Mapping[int, str | Mapping[str, Any] | None]
    query: tuple[Parameter, ...] = ()
    body: str | None = None
    body_required: bool = True
    accepts: tuple[bytes, ...] = ONLY_JSON
    headers: tuple[str, ...] = ()
    tag: str = "tasks"
    problems: tuple[int, ...] = ()
    site: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)


def pattern(path: str) -> str:
    """Return a path of the table as a router takes it."""
    for name in SLASHED:
        path = path.replace(f"{{{name}}}", f"{{{name}:path}}")
    return path
