"""`angelica breakers`: how downstreams stand, and keeping a breaker open or closed by hand."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import click

from angelica.cli import output
from angelica.cli.group import group
from angelica.cli.output import Column
from angelica.cli.state import common, given
from angelica.cli.target import opened

COLUMNS: Final = (
    Column("BREAKER", "name"),
    Column("STATE", lambda row: f"{row['state']} (by hand)" if row.get("forced") else row["state"]),
    Column("HELD", "held"),
    Column("FAILED", lambda row: f"{row['failed']}/{row['calls']}"),
    Column("TRIED AT", "tries_at"),
    Column("REASON", "reason"),
    Column("SLOW", "slow", wide=True),
    Column("SINCE", "since", wide=True),
    Column("BY", "by", wide=True),
)


@group("breakers")
def command() -> None:
    """List circuit breakers; keep one open or closed."""


@command.command("list")
@common
def list_breakers() -> None:
    """List the circuit breakers that functions use."""
    options = given()

    async def run() -> None:
        async with opened(options) as target:
            output.rows((await target.ask("GET", "breakers"))["items"], COLUMNS, options, key="name")

    asyncio.run(run())


@command.command("show")
@click.argument("name")
@common
def show(*, name: str) -> None:
    """Show one circuit breaker."""
    options = given()

    async def run() -> None:
        async with opened(options) as target:
            output.one(dict(await target.ask("GET", "breakers", name)), options, key="name")

    asyncio.run(run())


def setting(word: str, state: str, text: str) -> Any:
    """Add a command that sets a breaker."""

    @command.command(word, help=text)
    @click.argument("name")
    @click.option("--reason", default="", help="Kept with the breaker.")
    @common
    def change(*, name: str, reason: str) -> None:
        options = given()

        async def run() -> None:
            async with opened(options) as target:
                body = {"state": state, **({"reason": reason} if reason else {})}
                output.rows([await target.ask("PATCH", "breakers", name, body=body)], COLUMNS, options, key="name")

        asyncio.run(run())

    return change


opening = setting("open", "open", "Hold back all tasks that use it, until it is closed or reset.")
closing = setting("close", "closed", "Let all tasks through, whatever fails, until it is opened or reset.")
resetting = setting("reset", "reset", "Forget what was set and counted: it opens and closes by itself again.")
