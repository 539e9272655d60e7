"""The API process: loads the app, opens the store, serves HTTP until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from typing import Any

import click

from angelica import __version__
from angelica.cli.app import engine_of
from angelica.cli.bind import check_bind, check_dev_bind
from angelica.cli.logs import set_up_logs
from angelica.cli.process import Lifetime
from angelica.cli.spec import settings_of
from angelica.cli.state import GlobalOptions
from angelica.engine import Engine
from angelica.errors import StoreMoved
from angelica.http.app import create_app
from angelica.http.listening import listen, url_of
from angelica.http.server import serve
from angelica.http.tokens import TokenFile
from angelica.runtime.childlink import ChildLink, loaded_files


@dataclass(frozen=True, slots=True)
class Listening:
    """Where and how the API listens; `descriptor` is a socket that the supervisor holds."""

    host: str | None = None
    port: int | None = None
    proxied: bool = False
    insecure: bool = False
    dev: bool = False
    allow_commands: bool = False
    descriptor: int | None = None


async def answer(options: GlobalOptions, link: ChildLink | None, where: Listening) -> int:
    """Serve the API until the lifetime of this process ends; return the exit code."""
    settings = settings_of(options.url, host=where.host, port=where.port)
    set_up_logs(settings.log_format or ("text" if where.dev or link is None else "json"), options)
    engine = engine_of(
        options.app or settings.app,
        options.url,
        dev=where.dev,
        allow_commands=where.allow_commands,
        host=where.host,
        port=where.port,
    )
    if where.allow_commands:
        check_dev_bind(engine.settings)
    tokens = TokenFile.beside(engine.settings.sqlite_path)
    token = None
    if not where.dev:
        check_bind(engine.settings, proxied=where.proxied, insecure=where.insecure)
    if where.descriptor is not None:
        os.set_inheritable(where.descriptor, False)  # noqa: FBT003 - takes no keyword
        bound = socket.socket(fileno=where.descriptor)
    else:
        bound = listen(engine.settings.host, engine.settings.port)
    lifetime = Lifetime(link)
    engine.keeping.when_moved = lifetime.end_now
    await engine.start(worker=False)
    try:
        if not where.dev:
            token = tokens.ensure(options.token)
            engine.tokens = tokens
        app = create_app(engine, mode="dev" if where.dev else "token")
        draining = asyncio.create_task(_drain(engine, lifetime))
        facts = {"token": None if options.token else token, "url": url_of(bound), "store": engine.settings.shown_url}
        await serve(app, bound, lifetime.stop, lambda: _ready(facts, link), proxied=where.proxied)
        draining.cancel()
    finally:
        await engine.stop()
    if engine.keeping.moved_to is not None:
        raise StoreMoved(engine.keeping.moved_to)
    return 0


async def _drain(engine: Engine, lifetime: Lifetime) -> None:
    """Intake off: submits are answered 503 while the workers finish."""
    await lifetime.drain.wait()
    engine.state = "SHUTDOWN"


def _ready(facts: dict[str, Any], link: ChildLink | None) -> None:
    if link is not None:
        link.ready({**facts, "files": loaded_files()})
        return
    click.echo(f"angelica {__version__}  {facts['store']}")
    click.echo(f"API      {facts['url']}        docs  /docs")
    if facts["token"]:
        click.echo(f"Token    {facts['token']}   (shown this once)")
