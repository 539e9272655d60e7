"""FastAPI: our routes as an APIRouter, so that they show in the host's OpenAPI and its dependencies guard them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from angelica.contrib.engine import EngineLike
from angelica.http.app import access_of, path_apps, to_response
from angelica.http.auth import AuthCallable, Mode
from angelica.http.endpoint import Api, PathApp
from angelica.http.openapi import operation
from angelica.http.routes import endpoints
from angelica.http.schema_forms import REF
from angelica.http.schemas import components
from angelica.http.table import Endpoint, pattern


def router(engine: EngineLike, *, auth: AuthCallable | None = None, **options: Any) -> Any:
    """Return a FastAPI `APIRouter` with our routes; `options` go to `APIRouter` (`prefix`, `dependencies`, `tags` …).

    With `dependencies` they are the guard. Without them the rule of `mount` holds: `auth`, or a token, unless the
    caller is on this machine.
    """
    from fastapi import APIRouter

    mode: Mode = "trusted" if options.get("dependencies") and auth is None else "mounted"
    api = Api(engine, access_of(engine, mode, auth))
    table = [endpoint for endpoint in endpoints() if endpoint.site]
    made = APIRouter(**options)
    engine.mounted_at = made.prefix
    for app in path_apps(api, table):
        for endpoint in (each for each in table if each.path == app.path):
            made.add_api_route(
                pattern(endpoint.path),
                _serve(app),
                methods=[endpoint.method],
                response_class=Response,
                response_model=None,
                openapi_extra=_documented(endpoint),
                summary=endpoint.summary,
                description="",
                operation_id=f"angelica_{endpoint.method.lower()}_{app.path.strip('/').replace('/', '_')}",
                tags=None if options.get("tags") else [f"angelica {endpoint.tag}"],
                name=f"angelica {endpoint.method} {endpoint.path}",
            )
    return made


def _serve(app: PathApp) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        answer, call = await app.answer(request.scope, request.receive)
        if answer is None:
            return Response(status_code=499)  # nobody is there to read it
        if isinstance(answer.body, bytes):
            return to_response(answer, call)
        stream = StreamingResponse(answer.body, answer.status)
        stream.raw_headers = answer.raw_headers([(b"x-request-id", call.request_id.encode("latin-1"))])
        return stream

    return serve


def _documented(endpoint: Endpoint) -> dict[str, Any]:
    """The operation as FastAPI's document takes it: our components stand inline, since it has no place for them."""
    made = operation(endpoint)
    for key in ("operationId", "summary", "tags", "security"):
        made.pop(key, None)
    resolved: dict[str, Any] = _inline(made, components(), ())
    return resolved


def _inline(node: Any, schemas: dict[str, Any], above: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_inline(each, schemas, above) for each in node]
    if not isinstance(node, dict):
        return node
    target = node.get("$ref")
    if isinstance(target, str) and target.startswith(REF):
        name = target.removeprefix(REF)
        return {} if name in above else _inline(schemas[name], schemas, (*above, name))
    return {key: _inline(each, schemas, above) for key, each in node.items()}
