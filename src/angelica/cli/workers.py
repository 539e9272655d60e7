"""`angelica workers`: who runs tasks."""

from __future__ import annotations

import asyncio
from typing import Final

from angelica.cli import output
from angelica.cli.group import group
from angelica.cli.output import Column
from angelica.cli.state import common, given
from angelica.cli.target import opened

COLUMNS: Final = (
    Column("WORKER", "worker_id"),
    Column("HOST", "host"),
    Column("PID", "pid"),
    Column("RUNNING", "running"),
    Column("SLOTS", "slots"),
    Column("QUEUES", lambda row: "all" if row.get("queues") is None else row["queues"]),
    Column("SEEN", "seen_time"),
    Column("VERSION", "version", wide=True),
    Column("STARTED", "start_time", wide=True),
)


@group("workers")
def command() -> None:
    """List workers."""


@command.command("list")
@common
def list_workers() -> None:
    """List the workers that are registered with the store."""
    options = given()

    async def run() -> None:
        async with opened(options) as target:
            output.rows(await target.workers(), COLUMNS, options, key="worker_id")

    asyncio.run(run())
