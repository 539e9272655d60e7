"""The options that `dev` and `serve` share, and the plan made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from angelica.cli.failure import CliError
from angelica.cli.launch import Plan
from angelica.cli.spec import check_form
from angelica.cli.state import GlobalOptions
from angelica.http.listening import listen
from angelica.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Asked:
    """What was given to `dev` or `serve`."""

    app: str | None
    host: str | None = None
    port: int | None = None
    workers: int | None = None
    queues: str | None = None
    concurrency: int | None = None


def starting(command: F) -> F:
    """Add the options that `dev` and `serve` share."""
    for option in (
        click.option(
            "-c", "--concurrency", type=click.IntRange(1, 100_000), metavar="N", help="Tasks a worker at a time."
        ),
        click.option("-Q", "--queues", metavar="A,B", help="Serve these queues only."),
        click.option("-w", "--workers", type=click.IntRange(1, 1024), metavar="N", help="Worker processes [1]."),
        click.option("--port", type=click.IntRange(0, 65535), help="Listen on this port [8765]; 0 takes a free one."),
        click.option("--host", metavar="ADDRESS", help="Listen here [127.0.0.1]."),
    ):
        command = option(command)
    return click.argument("module", required=False, metavar="[APP]")(command)


def settings_for(asked: Asked, options: GlobalOptions) -> Settings:
    """Return the settings; refuses what cannot be served by several processes."""
    settings = Settings.load(
        source="command line", url=options.url, host=asked.host, port=asked.port, workers=asked.workers
    )
    if settings.in_memory:
        hint = "several processes share the store: give it a file or a database, --url angelica.db"
        raise CliError(f"{settings.url} lives in one process only", hint=hint)
    return settings


def plan_of(asked: Asked, options: GlobalOptions, settings: Settings, **more: bool) -> Plan:
    """Return the plan, with the socket bound: a taken port is told before anything starts."""
    app = asked.app or options.app or settings.app
    if app is not None:
        check_form(app)
    path = settings.sqlite_path
    return Plan(
        settings,
        options,
        app,
        listen(settings.host, settings.port),
        created=path is not None and not path.exists(),
        queues=asked.queues,
        concurrency=asked.concurrency,
        **more,
    )
