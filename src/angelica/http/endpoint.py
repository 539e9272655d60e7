"""The path: one address with its methods as an ASGI app; guards, caller, query, handler, answer, problems."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from angelica.errors import ShuttingDown
from angelica.http import guards
from angelica.http.answers import JSON, Answer, send_answer
from angelica.http.auth import Access
from angelica.http.call import Call
from angelica.http.host import ApiHost
from angelica.http.prefer import choose
from angelica.http.problems import PROBLEM_TYPE, HttpProblem, Problem, problem_of
from angelica.http.query import EMPTY, read_query
from angelica.http.table import ONLY_JSON, Endpoint

log: Final = logging.getLogger("angelica.http")

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_ZEROS: Final = "0" * 32
_NOT_STARTED: Final = (
    "the engine is not started in this process: give the host app our lifespan, e.g. "
    "FastAPI(lifespan=engine.lifespan), or engine.lifespan(yours) next to one of your own"
)


@dataclass(frozen=True, slots=True)
class Api:
    """What all paths of one application share."""

    host: ApiHost
    access: Access


class PathApp:
    """One path of the API as an ASGI app: all its methods, and 405 for the others."""

    def __init__(self, api: Api, path: str, endpoints: Mapping[str, Endpoint]) -> None:
        self.api = api
        self.path = path
        self.endpoints = dict(endpoints)
        if "GET" in self.endpoints:
            self.endpoints.setdefault("HEAD", self.endpoints["GET"])
        self.allow = ", ".join(sorted({*self.endpoints, "OPTIONS"}))
        self.dynamic = "{" in path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer, call = await self.answer(scope, receive)
        if answer is None:
            return
        extra = [(b"x-request-id", call.request_id.encode("latin-1"))]
        await send_answer(answer, send, extra, head=call.method == "HEAD")

    async def answer(self, scope: Any, receive: Receive) -> tuple[Answer | None, Call]:
        """Return the answer to one request (None: the caller has gone away). Never raises for what a caller sent."""
        call = Call(self.api.host, scope, receive, dict(scope["headers"]))
        call.base = self._base(call)
        trace(call)
        try:
            return await self._serve(call), call
        except ConnectionResetError:
            return None, call
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a problem document
            return problem_answer(error, call), call

    async def _serve(self, call: Call) -> Answer:
        access = self.api.access
        guards.check_sizes(call.scope)
        access.check_host(call.scope, call.headers)
        guards.check_site(call.method, call.headers, access.allowed)
        endpoint = self.endpoints.get(call.method)
        if endpoint is None:
            if call.method == "OPTIONS":
                return Answer(204, headers={"Allow": self.allow})
            raise HttpProblem("method-not-allowed", f"allowed: {self.allow}", headers={"Allow": self.allow})
        if endpoint.scope != "open":
            call.principal = await access.principal(call.scope, call.headers)
            if call.host.started_at is None:
                log.error(_NOT_STARTED)
                raise HttpProblem("engine-not-started", _NOT_STARTED)
            if call.host.state == "TERMINATED":
                raise ShuttingDown("the engine has stopped")
        else:
            call.principal = await access.guest(call.scope, call.headers)
        if endpoint.accepts is ONLY_JSON:
            accept = call.headers.get(b"accept")
            if accept is not None and b"*/*" not in accept and b"application/json" not in accept:
                choose(accept, (JSON, PROBLEM_TYPE, b"application/*"))
        raw = call.scope["query_string"]
        call.query = read_query(raw, endpoint.query) if raw else EMPTY
        return await endpoint.handler(call)

    def _base(self, call: Call) -> str:
        """What stands before our own path: taken off the address, so that any mount and any prefix works."""
        own = self.path.format_map(call.params) if self.dynamic else self.path
        base = call.path.removesuffix(own)
        root: str = call.scope.get("root_path", "")
        # Some servers put the root path of a proxy into the path, others do not.
        return base if not root or base.startswith(root) else root + base


def problem_answer(error: Exception, call: Call) -> Answer:
    """Return the problem document that an exception is answered with; the unexpected is logged, never shown."""
    problem = problem_of(error, validation_status=call.host.settings.validation_status)
    if problem is None:
        log.error(
            "unexpected error in %s %s", call.method, call.path, exc_info=error, extra={"trace_id": call.trace_id}
        )
        problem = Problem("server-error", 500, "")
    elif problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("%s %s: %s: %s", call.method, call.path, problem.slug, error, extra={"trace_id": call.trace_id})
    body = problem.body(instance=call.scope.get("path"), trace_id=call.trace_id, base=call.base)
    return Answer(problem.status, body, PROBLEM_TYPE, dict(problem.headers))


def trace(call: Call) -> None:
    """Take over the caller's trace and request id, or make them."""
    parent = call.header(b"traceparent")
    found = _TRACEPARENT.fullmatch(parent) if parent else None
    if found and found[1] != _ZEROS and found[2] != _ZEROS[:16]:
        call.traceparent = parent
        call.trace_id = found[1]
    else:
        call.trace_id = f"{call.host.bits(128) or 1:032x}"
    given = call.header(b"x-request-id")
    call.request_id = given if given and _REQUEST_ID.fullmatch(given) else call.trace_id
