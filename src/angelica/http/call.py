"""The call: one HTTP request as the handlers see it, read lazily and within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.types import Receive

from angelica import strict_json
from angelica.http.host import ApiHost, Principal
from angelica.http.problems import HttpProblem, field_problem
from angelica.http.query import Query

NDJSON: Final = b"application/x-ndjson"


class Call:
    """One request: its path parameters, query, headers, body and caller.

    `base` is what stands before our own path (a mount, `/api/v1`, a router's prefix); links begin with it.
    `trace_id` is 32 hex digits; `traceparent` is the caller's header if it is well formed.
    """

    __slots__ = (
        "base",
        "headers",
        "host",
        "method",
        "params",
        "path",
        "principal",
        "query",
        "receive",
        "request_id",
        "scope",
        "trace_id",
        "traceparent",
    )

    def __init__(self, host: ApiHost, scope: dict[str, Any], receive: Receive, headers: Mapping[bytes, bytes]) -> None:
        self.host = host
        self.scope = scope
        self.receive = receive
        self.headers = headers
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.params: dict[str, str] = scope.get("path_params", {})
        self.principal: Principal | None = None
        self.query: Query = Query({})
        self.base = ""
        self.trace_id = ""
        self.traceparent: str | None = None
        self.request_id = ""

    def header(self, name: bytes) -> str | None:
        """Return a request header by its lower-case name."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def media_type(self) -> bytes:
        """The media type of the body, without parameters, in lower case."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()

    @property
    def caller(self) -> str:
        """The name of the caller, for what is kept."""
        return "" if self.principal is None else self.principal.name

    def link(self, path: str) -> str:
        """Return the address of one of our own paths."""
        return self.base + path

    async def body(self) -> bytes:
        """Return the whole body; 413 if it is larger than `body_limit`."""
        limit = self.host.settings.body_limit
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > limit:
            raise _too_large(limit)
        message = await self.receive()
        data: bytes = message.get("body", b"")
        if message.get("more_body"):
            pieces = [data]
            size = len(data)
            while message.get("more_body"):
                message = await self.receive()
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > limit:
                    raise _too_large(limit)
            data = b"".join(pieces)
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        if len(data) > limit:
            raise _too_large(limit)
        return data

    async def json(self, *, required: bool = True) -> Any:
        """Return the body as strict JSON; None for an empty one that is not `required`. 400, 413, 415, 422."""
        raw = await self.body()
        media = self.media_type
        if not raw and not required:
            if media not in (b"", b"application/json"):
                raise _json_required(media)
            return None
        if media != b"application/json":
            raise _json_required(media)
        return strict_json.loads(raw)

    async def options(self, known: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
        """Return an optional JSON object of `known` members; others are refused by name."""
        value = await self.json(required=False)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise invalid_body([field_problem("", "must be a JSON object", "wrong_type", type="object")])
        errors = [field_problem(f"/{name}", "unknown field", "unknown_field") for name in value if name not in known]
        for name, kinds in known.items():
            item = value.get(name)
            if item is not None and (not isinstance(item, kinds) or (isinstance(item, bool) and kinds is not bool)):
                errors.append(field_problem(f"/{name}", "has the wrong type", "wrong_type"))
        if errors:
            raise invalid_body(errors, status=self.host.settings.validation_status)
        return value


def invalid_body(errors: list[dict[str, Any]], *, status: int | None = None) -> HttpProblem:
    """Return `validation-failed` with these errors."""
    detail = "; ".join(
        f"{error['pointer'].strip('/').replace('/', '.') or 'body'} {error['message']}" for error in errors
    )
    return HttpProblem("validation-failed", detail, errors=errors, status=status)


def _too_large(limit: int) -> HttpProblem:
    # The rest of the body is not read: the connection cannot be used again.
    return HttpProblem("too-large", f"the body may have {limit} bytes", headers={"Connection": "close"})


def _json_required(media: bytes) -> HttpProblem:
    sent = media.decode("latin-1")[:60] or "none"
    return HttpProblem(
        "json-required", f"Content-Type is {sent}; send application/json", headers={"Accept": "application/json"}
    )
