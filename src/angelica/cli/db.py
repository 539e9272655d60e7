"""`angelica db`: the store itself: status, migrate, check, backup, restore, prune, sql, clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Literal

import click

from angelica.cli import output
from angelica.cli.failure import CONFLICT, FAILED, NOT_FOUND, OK, UNAVAILABLE, CliError
from angelica.cli.group import group
from angelica.cli.move import move
from angelica.cli.progress import progress
from angelica.cli.state import common, given
from angelica.cli.store import local_settings, opened_store, path_of
from angelica.errors import StorageUnavailable

BATCH: Final = 1000


@group("db")
def command() -> None:
    """Look after the store."""


def on_store(work: Callable[[Any], Awaitable[int]], **how: Any) -> int:
    """Run `work` on the opened store; return its exit code."""

    async def run() -> int:
        async with opened_store(given(), **how) as storage:
            return await work(storage)

    return asyncio.run(run())


@command.command("status")
@common
def status() -> int:
    """Show what the store is and what it holds."""

    async def run(storage: Any) -> int:
        found = await storage.status()
        counts: dict[str, int] = {}
        for (_, state), count in (await storage.counts()).items():
            counts[state.value] = counts.get(state.value, 0) + count
        shown = {"url": found.url, "kind": found.kind, "schema_version": found.schema_version}
        warnings = [f"{each.text}: {each.fix}" for each in found.warnings]
        output.one({**shown, **dict(found.detail), "tasks": counts, "warnings": warnings}, given(), key="url")
        return OK

    return on_store(run, migrate=False)


@command.command("migrate")
@common
def bring_up_to_date() -> int:
    """Make the store, or bring its schema up to date."""
    settings = local_settings(given())
    if settings.postgres_url is not None:
        from angelica.cli.db_postgres import migrate

        return asyncio.run(migrate(settings, given()))

    async def run(storage: Any) -> int:
        found = await storage.status()
        output.say(f"{found.url} is at schema version {found.schema_version}", given())
        return OK

    return on_store(run, create=True, migrate=True)


@command.command("check")
@click.option("--repair", is_flag=True, help="First set the counters to what is there.")
@common
def check(*, repair: bool) -> int:
    """Prove what can be proved: the database's own check, counters against rows, rows without their task."""

    async def run(storage: Any) -> int:
        if repair:
            output.say(f"{await storage.recount()} counters repaired", given())
        with progress("checking", given()):
            report = await storage.check()
        for problem in report.problems:
            click.echo(problem)
        if not report.problems:
            output.say(f"all is well ({report.tasks} tasks)", given())
        return FAILED if report.problems else OK

    return on_store(run, migrate=False)


@command.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@common
def backup(*, target: Path) -> int:
    """Copy the store to the file TARGET while it is in use."""
    from angelica.storage.sqlite.backup import backup_file

    _only_files("backup", target)
    source = _existing()
    if target.exists():
        raise CliError(f"{target} exists", hint="choose another name; a backup overwrites nothing", exit_code=CONFLICT)
    with progress("backing up", given()) as bar:
        size = backup_file(source, target, bar)
    output.say(f"{target}: {size} bytes, checked", given())
    return OK


@command.command("restore")
@click.argument("source", type=click.Path(path_type=Path))
@common
def restore(*, source: Path) -> int:
    """Put the backup SOURCE in the place of the store; the former store is kept beside it."""
    from angelica.storage.sqlite.backup import restore_file

    _only_files("restore", source)
    if not source.is_file():
        raise CliError(f"there is no file {source}", exit_code=NOT_FOUND)
    target = path_of(local_settings(given()))
    if target.exists() and not given().yes:
        click.confirm(f"replace {target} with {source}?", abort=True, err=True)
    with progress("restoring", given()) as bar:
        try:
            former = restore_file(source, target, bar)
        except StorageUnavailable as error:
            hint = "end `angelica serve`, every worker, and applications that have an engine of their own"
            raise CliError(str(error), hint=hint if "in use" in str(error) else "", exit_code=UNAVAILABLE) from None
    output.say(f"{target} is what {source} was" + (f"; the former is {former}" if former else ""), given())
    return OK


@command.command("prune")
@common
def prune() -> int:
    """Delete ended tasks that have been kept long enough, now."""

    async def run(storage: Any) -> int:
        done = 0
        with progress("pruning", given()) as bar:
            while True:
                deleted = await storage.prune(now=await storage.time(), limit=BATCH)
                done += deleted
                bar(done, None)
                if deleted < BATCH:
                    break
        output.say(f"{done} tasks and old fire records deleted", given())
        return OK

    return on_store(run)


@command.command("sql")
@click.option("--pending", is_flag=True, help="Only the steps that the store still lacks.")
@common
def print_sql(*, pending: bool) -> int:
    """Print the SQL of the schema, step by step."""
    settings = local_settings(given())
    if settings.postgres_url is not None:
        from angelica.cli.db_postgres import sql

        return asyncio.run(sql(settings, given(), pending=pending))
    from angelica.storage.sql import pending as missing
    from angelica.storage.sqlite.schema import MIGRATIONS, applied_to

    steps = missing(MIGRATIONS, applied_to(_existing())) if pending else MIGRATIONS
    for migration in steps:
        click.echo(f"-- {migration.number:04d} {migration.name}\n{migration.text.strip()}\n")
    return OK


@command.command("clock")
@click.option("--accept", is_flag=True, help="Take over the host's clock as it is now.")
@common
def clock(*, accept: bool) -> int:
    """Show how far the host's clock is ahead of the one that counts: the store's own, or the server's."""
    served = local_settings(given()).postgres_url is not None
    if accept and served:
        raise CliError("the server's clock counts: there is nothing to accept", hint="let NTP keep both clocks")

    async def run(storage: Any) -> int:
        if accept:
            await storage.accept_clock()
        apart = int((await storage.status()).detail.get("clock_apart_ms", 0)) / 1000
        click.echo(f"{apart:+.3f} s")
        if abs(apart) > 0.5:  # noqa: PLR2004 - decided in the store's clock
            own = "the store's own counts; --accept takes over the host's"
            output.say("the server's counts; let NTP keep both" if served else own, given())
        return OK

    return on_store(run)


command.add_command(move)


def _only_files(what: Literal["backup", "restore"], file: Path) -> None:
    settings = local_settings(given())
    if settings.postgres_url is not None:
        from angelica.cli.db_postgres import refuse_copy

        raise refuse_copy(settings, what, file)


def _existing() -> Path:
    path = path_of(local_settings(given()))
    if not path.exists():
        raise CliError(f"there is no store at {path}", hint="name it: --url", exit_code=NOT_FOUND)
    return path
