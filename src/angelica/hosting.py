"""Hosting: what an engine does inside of a web application; nothing of the web is imported before it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

Authenticate = Callable[[Any], Any]
"""Takes a request; returns a principal, a name or True for a caller that may, anything else for one that may not."""


class Hosting:
    """The part of an `Engine` that is about web applications."""

    def lifespan(self, target: Any) -> Any:
        """Run the engine for as long as a host app lives: `FastAPI(lifespan=engine.lifespan)`.

        Around a lifespan of the host's own: `FastAPI(lifespan=engine.lifespan(mine))`.
        """
        from angelica.contrib import starlette

        return starlette.lifespan(cast("Any", self), target)

    def mount(self, app: Any, path: str = "", *, auth: Authenticate | None = None) -> None:
        """Put the HTTP API into a Starlette or FastAPI app, under `path` or beside its own routes."""
        from angelica.contrib import starlette

        starlette.mount(cast("Any", self), app, path, auth=auth)

    def router(self, *, auth: Authenticate | None = None, **options: Any) -> Any:
        """Return a FastAPI `APIRouter` with the HTTP API; `options` go to `APIRouter` (prefix, dependencies …)."""
        from angelica.contrib import fastapi

        return fastapi.router(cast("Any", self), auth=auth, **options)

    def asgi(self, *, auth: Authenticate | None = None) -> Any:
        """Return the HTTP API as an ASGI app of its own, which starts and stops the engine in its lifespan."""
        from angelica.http.app import create_app

        app = create_app(cast("Any", self), mode="mounted", auth=auth)
        app.router.lifespan_context = self.lifespan
        return app

    def accepted(self, task: Any) -> Any:
        """Return a 202 response with `Location` for a submitted task, for an endpoint that hands its work over."""
        from angelica.contrib import starlette

        return starlette.accepted(cast("Any", self), task)
