"""The application: the route table as a Starlette app, alone, mounted, or added to the routes of a host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from angelica.http import guards
from angelica.http.answers import Answer
from angelica.http.auth import Access, AuthCallable, Mode
from angelica.http.call import Call
from angelica.http.endpoint import Api, PathApp, problem_answer, trace
from angelica.http.host import ApiHost
from angelica.http.problems import HttpProblem
from angelica.http.routes import endpoints
from angelica.http.table import Endpoint, pattern

ALIAS = "/api/v1"
_SLUGS = {404: "not-found", 405: "method-not-allowed"}


def create_app(host: ApiHost, *, mode: Mode = "token", auth: AuthCallable | None = None) -> Starlette:
    """Return the API of `host` as an application of its own, or to be mounted in another.

    `mode` says how callers are known (see `auth.Access`): `token` (the default), `dev` (loopback only, no token),
    `mounted`. `auth(request)` returns a `Principal`, a name or True for a caller that may, anything else for one that
    may not; it may be async. The caller starts and stops the engine.
    """
    api = Api(host, access_of(host, mode, auth))

    async def not_ours(request: Request, error: Exception) -> Response:
        return _router_problem(host, request, error)

    app = Starlette(
        routes=routes(api, endpoints()),
        exception_handlers={HTTPException: not_ours},
    )
    # A redirect would lose the body of a POST and answer without our headers: /tasks/ is simply not there.
    app.router.redirect_slashes = False
    return app


def access_of(host: ApiHost, mode: Mode, auth: AuthCallable | None = None) -> Access:
    """Return how callers are known, with the names that Host may have."""
    settings = host.settings
    return Access(mode, guards.allowed_hosts(settings.allowed_hosts, settings.host), host.tokens, auth)


def routes(api: Api, table: Iterable[Endpoint]) -> list[Route]:
    """Return one route for each path, all methods together, and again under `/api/v1`."""
    return [
        Route(prefix + pattern(app.path), endpoint=app)
        for prefix in ("", ALIAS)
        for app in path_apps(api, table)
        if not (prefix and app.path == "/")
    ]


def path_apps(api: Api, table: Iterable[Endpoint]) -> list[PathApp]:
    """Return one ASGI app for each path of the table, in its order."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for endpoint in table:
        paths.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return [PathApp(api, path, methods) for path, methods in paths.items()]


def _router_problem(host: ApiHost, request: Request, error: Exception) -> Response:
    """The router's own 404, as a problem document with the headers of every answer."""
    scope: Any = request.scope
    call = Call(host, scope, request.receive, dict(scope["headers"]))
    call.base = scope.get("root_path", "")
    trace(call)
    status = error.status_code if isinstance(error, HTTPException) else 404
    answer = problem_answer(HttpProblem(_SLUGS.get(status, "not-found")), call)
    return to_response(answer, call)


def to_response(answer: Answer, call: Call) -> Response:
    """Return an answer as a Starlette response."""
    body = answer.body if isinstance(answer.body, bytes) else b""
    response = Response(body, status_code=answer.status)
    response.raw_headers = answer.raw_headers([(b"x-request-id", call.request_id.encode("latin-1"))])
    return response
