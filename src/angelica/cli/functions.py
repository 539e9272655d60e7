"""`angelica functions`: what can be run."""

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
    Column("NAME", "name"),
    Column("VERSION", "version"),
    Column("EXECUTOR", "executor"),
    Column("QUEUE", lambda row: (row.get("defaults") or {}).get("queue"), wide=True),
    Column("SEEN", "seen_time", wide=True),
    Column("DOC", lambda row: (row.get("doc") or "").strip().partition("\n")[0]),
)


_SEEN: Final = (("run_time", "s"), ("cpu_seconds", "s"), ("cpu_share", "CPUs"), ("peak_memory", "bytes"))
_MIB: Final = 1 << 20


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
    """Show one function with the schema of its arguments, and the limits that its latest runs suggest.

    NAME may also be a command, as command:NAME.
    """
    options = given()

    async def run() -> None:
        async with opened(options) as target:
            found = await target.function(name)
            output.one(found if options.output in ("json", "jsonl") else _told(found), options, key="name")

    asyncio.run(run())


def _told(function: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function as it is shown to people: what it suggests in words, and below it what was seen."""
    said = function.get("suggestion")
    if said is None:  # a server of a version that suggests nothing
        return dict(function)
    seen = [(name, unit, said["seen"].get(name)) for name, unit in _SEEN]
    figures = {
        f"seen_{name}": f"at most {_amount(each['max'], unit)}, 19 of 20 within {_amount(each['p95'], unit)}"
        for name, unit, each in seen
        if each is not None
    }
    return {**function, "suggestion": said["text"], **figures}


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / _MIB:.1f} MiB"
    return f"{output.cell(float(value))} {unit}"


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
