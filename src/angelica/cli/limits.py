"""`angelica limits`: limits by key, what they let through now, and setting them."""

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
    Column("LIMIT", "name"),
    Column("KEY", "key"),
    Column("RUNNING", "running"),
    Column("MAX RUNNING", "max_running"),
    Column("RATE", "rate"),
    Column("REASON", "reason"),
    Column("CHANGED BY", "changed_by", wide=True),
    Column("CHANGED", "change_time", wide=True),
)


@group("limits")
def command() -> None:
    """List limits, set them, and take back what was set."""


@command.command("list")
@common
def list_limits() -> None:
    """List the limits that are declared or set, and their keys that are in use."""
    options = given()

    async def run() -> None:
        async with opened(options) as target:
            output.rows((await target.ask("GET", "limits"))["items"], COLUMNS, options, key="name")

    asyncio.run(run())


@command.command("set")
@click.argument("name")
@click.argument("key", required=False)
@limit_options
@common
def set_limit(*, name: str, key: str | None, **fields: str | None) -> None:
    """Set a limit, or one key of it, as a whole; it holds everywhere within a second."""
    options = given()
    body = changes_of(**fields)

    async def run() -> None:
        async with opened(options) as target:
            output.one(await target.ask("PUT", "limits", name, *_key(key), body=body), options, key="name")

    asyncio.run(run())


@command.command("delete")
@click.argument("name")
@click.argument("key", required=False)
@common
def delete(*, name: str, key: str | None) -> None:
    """Take back what was set for a limit, or for one key of it: what the code declares holds again."""

    async def run() -> None:
        async with opened(given()) as target:
            await target.ask("DELETE", "limits", name, *_key(key))

    asyncio.run(run())
    output.say(f"{'/'.join((name, *_key(key)))}: taken back", given())


def _key(key: str | None) -> tuple[str, ...]:
    return () if key is None else (key,)
