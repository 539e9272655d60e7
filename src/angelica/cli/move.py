"""`angelica db move`: carry the store over to another one while it is in use."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import click

from angelica.cli import output
from angelica.cli.failure import CONFLICT, OK, CliError
from angelica.cli.spec import settings_of
from angelica.cli.state import GlobalOptions, common, given
from angelica.cli.store import require
from angelica.clock import SECOND
from angelica.settings import Settings
from angelica.storage.move.carry import Progress
from angelica.storage.move.mover import Moved, Mover, abort
from angelica.storage.move.sides import FullSide
from angelica.storage.move.target import drop_target
from angelica.stores import make_side

_SAID: Final = {
    "claimed": "copying what has ended, while the store is in use",
    "copied": "workers hand back what they run",
    "fenced": "copying the rest; nothing is written meanwhile",
    "committed": "the data has moved",
}


@click.command("move")
@click.option("--to", metavar="STORE", help="The store to fill: postgresql://…, or a file; it must be empty.")
@click.option("--grace", metavar="SECONDS", help="How long running tasks may go on before they are handed back.")
@click.option("--abort", "giving_up", is_flag=True, help="Give up a move that was cut off; with --to empty that store.")
@common
def move(*, to: str | None, grace: str | None, giving_up: bool) -> int:
    """Move the store, with ids, history, schedules and pending work, while it is in use.

    Ended tasks are copied first. Then workers hand back what they run, nothing is written for some seconds, and the
    rest follows. A move that was cut off goes on where it was; until its end the old store stays in work.
    """
    options = given()
    if options.api:
        raise CliError("this works on the store itself", hint="run it where the store can be reached, without --api")
    if to is None and not giving_up:
        raise CliError("where to?", hint="--to postgresql://user:password@host/database, or a file")
    settings = settings_of(options.url, grace=grace)
    filled = None if to is None else settings_of(to)
    return asyncio.run(_abort(settings, filled, options) if giving_up else _move(settings, filled, options))


async def _move(settings: Settings, filled: Settings | None, options: GlobalOptions) -> int:
    assert filled is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _interrupt)
    await require(settings, "name it: --url")
    leaving, filling = make_side(settings), make_side(filled)
    if leaving.shown == filling.shown:
        raise CliError(f"{filling.shown} is the store that is to be moved", hint="name another", exit_code=CONFLICT)
    async with _opened(leaving) as source, _opened(filling) as target:
        with _bars(options) as progress:
            mover = Mover(
                source,
                target,
                fresh=secrets.token_hex(8),
                grace=settings.grace / SECOND,
                progress=progress,
                reached=lambda point: output.say(_SAID[point], options) if point in _SAID else None,
            )
            done = await mover.run()
        output.one(_told(done, source, target, options), options, key="to")
    output.say("start every process with the new address: --url, ANGELICA_URL or `url` in angelica.toml", options)
    return OK


async def _abort(settings: Settings, filled: Settings | None, options: GlobalOptions) -> int:
    await require(settings, "name it: --url")
    async with _opened(make_side(settings)) as source:
        stood = await abort(source)
        if stood is not None and stood.state == "moved":
            raise CliError(f"the data has moved to {stood.to} already", hint="move it back from there")
        if filled is not None:
            async with _opened(make_side(filled)) as target:
                await drop_target(source, target)
                output.say(f"{target.shown} is empty", options)
        output.say(f"{source.shown} is in work", options)
    return OK


@asynccontextmanager
async def _opened(side: FullSide) -> AsyncIterator[FullSide]:
    await side.open()
    try:
        yield side
    finally:
        await side.close()


def _interrupt() -> None:
    """Give up in order, as at a Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def _told(done: Moved, source: FullSide, target: FullSide, options: GlobalOptions) -> dict[str, Any]:
    sums = {name: f"{found:016x}" for name, found in done.sums.items() if found}
    return {
        "from": source.shown,
        "to": target.shown,
        **{name: rows for name, rows in done.rows.items() if rows},
        "still_running": done.running,
        "seconds_without_writes": done.fenced / SECOND,
        "checksums": {} if options.output == "table" else sums,
    }


@contextmanager
def _bars(options: GlobalOptions) -> Iterator[Progress]:
    """Yield what draws a bar for each table; on a pipe, or with `--quiet`, it draws nothing."""
    if options.quiet or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Bars(*columns, console=Console(stderr=True, no_color=options.no_color)) as bars:
        lines: dict[str, Any] = {}

        def draw(table: str, done: int, total: int | None) -> None:
            if table not in lines:
                lines[table] = bars.add_task(table, total=total)
            bars.update(lines[table], completed=done, total=total)

        yield draw
