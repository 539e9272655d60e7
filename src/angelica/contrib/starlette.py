"""Starlette (and so FastAPI): our lifespan for the host app, and our routes in it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from inspect import isasyncgenfunction
from typing import Any, Final

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from angelica.contrib.engine import EngineLike
from angelica.domain.task import Task
from angelica.http.app import access_of, create_app, routes
from angelica.http.auth import AuthCallable
from angelica.http.endpoint import Api
from angelica.http.routes import endpoints

log: Final = logging.getLogger("angelica.contrib")

State = Mapping[str, Any] | None
Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


def lifespan(engine: EngineLike, target: Any) -> Any:
    """Run the engine for as long as a host app lives.

    `FastAPI(lifespan=engine.lifespan)`: `target` is the app, a context manager comes back.
    `FastAPI(lifespan=engine.lifespan(mine))`: `target` is a lifespan of the host's own, which is entered first and
    left last, so that what it opens is there for every task; its state is passed on.
    """
    if isinstance(target, Starlette):
        return _running(engine)
    return _around(engine, target)


def _around(engine: EngineLike, inner: Any) -> Lifespan:
    if not callable(inner):
        raise TypeError("engine.lifespan takes the app, or a lifespan function: lifespan=engine.lifespan(mine)")
    entered: Lifespan = asynccontextmanager(inner) if isasyncgenfunction(inner) else inner

    @asynccontextmanager
    async def both(app: Any) -> AsyncIterator[State]:
        async with entered(app) as state, _running(engine):
            yield state

    return both


@asynccontextmanager
async def _running(engine: EngineLike) -> AsyncIterator[None]:
    await engine.start()
    try:
        yield
    finally:
        await engine.stop()


def mount(engine: EngineLike, app: Starlette, path: str = "", *, auth: AuthCallable | None = None) -> None:
    """Put our API into a host app: under `path`, or beside the host's own routes.

    Without `auth` a caller needs a token, unless it is on this machine (loopback peer, allowed Host, no proxy).
    `Depends` of the host does not guard what is mounted: give `auth=`, or use `router`. Give the host our lifespan
    too; without it every request answers 503 `engine-not-started` and says so.

    Without a path our routes are added one by one: a route of the host with the same path wins, with a warning,
    whichever was added first; our `/`, `/docs` and `/openapi.json` stay out.
    """
    prefix = path.rstrip("/")
    if prefix and not prefix.startswith("/"):
        raise ValueError(f'path must begin with "/": mount(app, "/{prefix}")')
    engine.mounted_at = prefix
    if prefix:
        app.mount(prefix, create_app(engine, mode="mounted", auth=auth), name="angelica")
        return
    api = Api(engine, access_of(engine, "mounted", auth))
    table = [endpoint for endpoint in endpoints() if endpoint.site]
    app.router.routes.extend(GuestRoute(route, app.router.routes) for route in routes(api, table))


class GuestRoute(Route):
    """One of our routes among those of a host: it gives way to a route of the host with the same path."""

    def __init__(self, route: Route, among: list[BaseRoute]) -> None:
        super().__init__(route.path, route.endpoint, include_in_schema=False)
        self._among = among
        self._seen = -1
        self._yields: bool = False
        self._literals: frozenset[str] = frozenset()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match as any route does, but never where the host has the same path."""
        match, child = super().matches(scope)
        if match is Match.NONE:
            return match, child
        if self._seen != len(self._among):  # the host may add routes after us
            self._survey()
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return (Match.NONE, {}) if self._yields or path in self._literals else (match, child)

    def _survey(self) -> None:
        hosts = [path for route in self._among if (path := _path_of(route)) is not None]
        shape = _shape(self.path)
        self._literals = frozenset(path for path in hosts if "{" not in path and self.path_regex.match(path))
        clash = any(_shape(path) == shape for path in hosts)
        if (clash or self._literals) and self._seen == -1:
            log.warning("the host app has its own route %s: ours is not served", self.path)
        self._yields = clash
        self._seen = len(self._among)


def _path_of(route: BaseRoute) -> str | None:
    """The path of a route of the host; None for ours, and for mounts."""
    return route.path if isinstance(route, Route) and not isinstance(route, GuestRoute) else None


def _shape(path: str) -> str:
    """A path without the names of its parameters."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def accepted(engine: EngineLike, task: Any) -> JSONResponse:
    """Return 202 with `Location`, for an endpoint that has turned its work into `task` (a handle or a `Task`)."""
    location = f"{engine.mounted_at}/tasks/{task.id}"
    body = {"status": "accepted", "task_id": task.id, "logs_url": f"{location}/logs", "links": {"self": location}}
    if isinstance(task, Task):
        body["name"] = task.function
    return JSONResponse(body, status_code=202, headers={"Location": location})
