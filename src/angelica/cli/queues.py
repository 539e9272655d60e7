"""`angelica queues`: what waits and runs in each, pausing them, and what holds for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import click

from angelica.cli import output
from angelica.cli.group import group
from angelica.cli.limit_options import changes_of, limit_options
from angelica.cli.output import Column
from angelica.cli.state import common, given
from angelica.cli.target import opened

COLUMNS: Final = (
    Column("QUEUE", "name"),
    Column("STATE", lambda row: "paused" if row["paused"] else "open"),
    Column("WAITING", "waiting"),
    Column("RUNNING", "running"),
    Column("MAX RUNNING", "max_running"),
    Column("RATE", "rate"),
    Column("MAX DEPTH", "max_depth"),
    Column("FAIR", "fair"),
    Column("REASON", "reason"),
    Column("CHANGED BY", "changed_by", wide=True),
    Column("CHANGED", "change_time", wide=True),
)


@group("queues")
def command() -> None:
    """List queues; pause them, let them go on, and set what holds for them."""


@command.command("list")
@common
def list_queues() -> None:
    """List the queues that have tasks or limits."""
    options = given()

    async def run() -> None:
        async with opened(options) as target:
            output.rows((await target.ask("GET", "queues"))["items"], COLUMNS, options, key="name")

    asyncio.run(run())


@command.command("show")
@click.argument("name")
@common
def show(*, name: str) -> None:
    """Show one queue."""
    _one("GET", name)


@command.command("pause")
@click.argument("name")
@click.option("--reason", metavar="TEXT", help="Why; shown with the queue.")
@common
def pause(*, name: str, reason: str | None) -> None:
    """Let nothing of a queue begin; what runs goes on."""
    _one("POST", name, "pause", body={"reason": reason} if reason else {})


@command.command("resume")
@click.argument("name")
@click.option("--reason", metavar="TEXT", help="Why; shown with the queue.")
@common
def resume(*, name: str, reason: str | None) -> None:
    """Let a paused queue go on."""
    _one("POST", name, "resume", body={"reason": reason} if reason else {})


@command.command("set")
@click.argument("name")
@limit_options
@click.option("--max-depth", metavar="N", help="How many may wait in it; none takes it back.")
@click.option("--ageing", metavar="DURATION", help="The wait that is worth one step of priority; none takes it back.")
@click.option(
    "--fair",
    metavar="HEADER",
    help="Shared evenly by the tenants that this header names; off: by nobody, none: as the settings say.",
)
@common
def set_queue(*, name: str, **fields: str | None) -> None:
    """Set what holds for a queue; it does everywhere within a second."""
    _one("PATCH", name, body=changes_of(**fields))


def _one(method: str, name: str, *path: str, body: Mapping[str, Any] | None = None) -> None:
    options = given()

    async def run() -> None:
        async with opened(options) as target:
            output.one(await target.ask(method, "queues", name, *path, body=body), options, key="name")

    asyncio.run(run())
