"""`angelica functions`: what can be run."""

from __future__ import annotations

import asyncio
from typing import Final

import click

from angelica.cli import output
from angelica.cli.group import group
from angelica.cli.limit_options import changes_of, limit_options
from angelica.cli.output import Column
from angelica.cli.state import common, given
from angelica.cli.target import opened

COLUMNS: Final = (
    Column("NAME", "name"),
    Column("VERSION", "version"),
    Column("EXECUTOR", "executor"),
    Column("QUEUE", lambda row: (row.get("defaults") or {}).get("queue"), wide=True),
    Column("SEEN", "seen_time", wide=True),
    Column("DOC", lambda row: (row.get("doc") or "").strip().partition("\n")[0]),
)


@group("functions")
def command() -> None:
    """List and show registered functions, and set their limits."""


@command.command("list")
@common
def list_functions() -> None:
    """List the functions that workers have registered in the last 24 hours."""
    options = given()

    async def run() -> None:
        async with opened(options) as target:
            output.rows(await target.functions(), COLUMNS, options, key="name")

    asyncio.run(run())


@command.command("show")
@click.argument("name")
@common
def show(name: str) -> None:
    """Show one function with the schema of its arguments."""
    options = given()

    async def run() -> None:
        async with opened(options) as target:
            output.one(await target.function(name), options, key="name")

    asyncio.run(run())


@command.command("set")
@click.argument("name")
@limit_options
@common
def set_function(*, name: str, **fields: str | None) -> None:
    """Set how many tasks of a function may run at once and begin in a period; it holds everywhere within a second."""
    options = given()
    body = changes_of(**fields)

    async def run() -> None:
        async with opened(options) as target:
            output.one(await target.ask("PATCH", "functions", name, body=body), options, key="name")

    asyncio.run(run())
