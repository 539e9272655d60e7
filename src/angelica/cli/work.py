"""The worker process: loads the app, runs its engine's worker until it is told to stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from angelica import __version__
from angelica.cli.app import engine_of
from angelica.cli.logs import set_up_logs
from angelica.cli.process import Lifetime
from angelica.cli.spec import settings_of
from angelica.cli.state import GlobalOptions
from angelica.engine import Engine
from angelica.errors import StoreMoved
from angelica.runtime.childlink import ChildLink, loaded_files
from angelica.runtime.identity import host_name


async def work(options: GlobalOptions, link: ChildLink | None, asked: Mapping[str, Any], **mode: bool) -> int:
    """Run one worker until its lifetime ends; return the exit code.

    `asked` are settings of the command line; `mode` says `dev` and `allow_commands`.
    """
    settings = settings_of(options.url)
    log_format = settings.log_format or ("text" if mode.get("dev") or link is None else "json")
    set_up_logs(log_format, options)
    engine = engine_of(options.app or settings.app, options.url, **mode, **asked)
    engine.log_format = log_format
    lifetime = Lifetime(link)
    engine.keeping.when_moved = lifetime.end_now
    telling: list[asyncio.Task[None]] = []
    tell = partial(_tell, engine, link, options)

    def ready() -> None:
        telling.append(asyncio.create_task(tell()))

    await engine.run_worker(lifetime.stop, lifetime.hasten, ready, lifetime.leave)
    if engine.keeping.moved_to is not None:
        raise StoreMoved(engine.keeping.moved_to)
    return 0


async def _tell(engine: Engine, link: ChildLink | None, options: GlobalOptions) -> None:
    """Say that this worker is ready: to the supervisor, else on stderr."""
    mine = [row.info for row in await engine.service.workers() if row.info.pid == os.getpid()]
    info = max((each for each in mine if each.host == host_name()), key=lambda each: each.started_at)
    if link is not None:
        facts = {"worker": info.id, "start_file": info.start_file, "slots": info.slots}
        link.ready({**facts, "store": engine.settings.url, "files": loaded_files()})
    elif not options.quiet:
        queues = ", ".join(info.queues) if info.queues else "every queue"
        text = f"angelica {__version__}  {engine.settings.shown_url}  worker {info.id}  {info.slots} slots  {queues}"
        click.echo(text, err=True)
