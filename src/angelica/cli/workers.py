"""`angelica workers`: who runs tasks, and asking them to drain, to go on or to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from angelica.cli import output
from angelica.cli.failure import FAILED, OK, CliError
from angelica.cli.group import group
from angelica.cli.output import Column
from angelica.cli.state import common, given
from angelica.cli.target import Target, opened
from angelica.clock import SECOND
from angelica.durations import format_duration
from angelica.http.remote import RemoteProblem

COLUMNS: Final = (
    Column("WORKER", "worker_id"),
    Column("STATE", "state"),
    Column("HOST", "host"),
    Column("PID", "pid"),
    Column("RUNNING", lambda row: f"{row['running']}/{row['slots']}"),
    Column("CPU", "cpu"),
    Column("MEMORY", lambda row: memory_text(row.get("memory"))),
    Column("QUEUES", lambda row: "all" if row.get("queues") is None else row["queues"]),
    Column("LABELS", lambda row: pairs_text(row.get("labels") or {})),
    Column("HEARTBEAT", lambda row: f"{age_text(row['heartbeat_age'])} ago"),
    Column("VERSION", "version"),
    Column("FUNCTIONS", "functions", wide=True),
    Column("STARTED", "start_time", wide=True),
)
HELD: Final = (
    Column("TASK", "task_id"),
    Column("NAME", "name"),
    Column("QUEUE", "queue"),
    Column("ATTEMPT", "attempt"),
    Column("STARTED", "start_time"),
)
WAIT_BETWEEN: Final = 0.2


@group("workers")
def command() -> None:
    """List workers; let them drain, go on or stop."""


@command.command("list")
@common
def list_workers() -> None:
    """List the workers that are registered with the store."""
    options = given()

    async def run() -> None:
        async with opened(options) as target:
            output.rows(await target.workers(), COLUMNS, options, key="worker_id")

    asyncio.run(run())


@command.command("show")
@click.argument("worker_id")
@common
def show(*, worker_id: str) -> None:
    """Show one worker, and what it runs now."""
    options = given()

    async def run() -> None:
        async with opened(options) as target:
            row = dict(await target.ask("GET", "workers", worker_id))
        drawn = options.output in ("table", "wide")
        tasks = row.pop("tasks", []) if drawn else []
        output.one(row, options, key="worker_id")
        if tasks:
            click.echo()
            output.rows(tasks, HELD, options, key="task_id")

    asyncio.run(run())


def choosing(name: str, text: str) -> Any:
    """Add a command that asks the chosen workers for something."""

    @command.command(name, help=text)
    @click.argument("worker_ids", nargs=-1, metavar="[WORKER_ID]…")
    @click.option("--all", "every", is_flag=True, help="All that are registered.")
    @click.option("--host", metavar="NAME", help="Those of this host.")
    @click.option("-l", "--label", "labels", multiple=True, metavar="K=V", help="Those with this label; repeatable.")
    @click.option("--wait", is_flag=True, help="Until they run nothing any more.", hidden=name == "resume")
    @common
    def ask(*, worker_ids: tuple[str, ...], every: bool, host: str | None, labels: tuple[str, ...], wait: bool) -> int:
        filters = {"host": host, "labels": dict(map(pair, labels))}
        if not (worker_ids or every or host or labels):
            raise CliError("no worker is named", hint="name some, or choose: --all, --host, --label")

        async def run() -> int:
            async with opened(given()) as target:
                chosen = await choose(target, worker_ids, filters)
                code = await ask_all(target, name, chosen)
                if wait and name != "resume":
                    await wait_idle(target, chosen)
                return code

        return asyncio.run(run())

    return ask


drain = choosing("drain", "Let workers end what they run and claim no more; they stay until they are stopped.")
resume = choosing("resume", "Let workers that drain claim again.")
stop = choosing("stop", "Stop workers as SIGTERM does; a supervisor does not start them again.")


async def choose(target: Target, worker_ids: Sequence[str], filters: Mapping[str, Any]) -> list[str]:
    """Return the ids of the workers that were meant: those named, or all; of these, those that match."""
    host, labels = filters["host"], filters["labels"]
    if worker_ids and not host and not labels:
        return list(dict.fromkeys(worker_ids))
    found = [
        row["worker_id"]
        for row in await target.workers()
        if (not worker_ids or row["worker_id"] in worker_ids)
        and (not host or row["host"] == host)
        and labels.items() <= (row.get("labels") or {}).items()
    ]
    if not found:
        raise CliError("no worker matches", hint="`angelica workers list` shows those that are registered")
    return found


async def ask_all(target: Target, word: str, worker_ids: Sequence[str]) -> int:
    """Ask each; print those that were asked, and say of the others why not."""
    asked: list[Mapping[str, Any]] = []
    failed = False
    for worker_id in worker_ids:
        try:
            asked.append(await target.ask("POST", "workers", worker_id, word))
        except RemoteProblem as problem:
            if len(worker_ids) == 1:
                raise
            output.say(f"{worker_id}: {problem}", given())
            failed = True
    output.rows(asked, COLUMNS, given(), key="worker_id")
    return FAILED if failed else OK


async def wait_idle(target: Target, worker_ids: Sequence[str]) -> None:
    """Wait until these workers have heard and run nothing, or are gone."""
    while True:
        rows = [row for row in await target.workers() if row["worker_id"] in worker_ids and row["state"] != "lost"]
        if all(row["heeds"] == row["control"] == "drain" and not row["running"] for row in rows):
            return
        await asyncio.sleep(WAIT_BETWEEN)


def pair(text: str) -> tuple[str, str]:
    """Return a label that was typed."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise CliError(f"--label {text!r} is not K=V")
    return name, value


def pairs_text(labels: Mapping[str, str]) -> str | None:
    """Return labels as they are typed."""
    return ",".join(f"{name}={value}" for name, value in labels.items()) or None


def memory_text(size: int | None) -> str | None:
    """Return an amount of memory in GiB."""
    return None if size is None else f"{size / (1 << 30):.1f}GiB"


def age_text(seconds: float) -> str:
    """Return an age, in whole seconds."""
    return format_duration(int(seconds) * SECOND)
