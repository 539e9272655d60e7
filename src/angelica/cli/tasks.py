"""`angelica tasks`: list, show, follow, cancel and retry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import click

from angelica.cli import following, output
from angelica.cli.failure import OK, CliError
from angelica.cli.group import group
from angelica.cli.output import Column
from angelica.cli.state import common, given
from angelica.cli.target import Target, opened
from angelica.durations import parse_duration
from angelica.plain import plain_lines

PAGE: Final = 500
COLUMNS: Final = (
    Column("TASK", "task_id"),
    Column("NAME", "name"),
    Column("STATE", "state"),
    Column("QUEUE", "queue"),
    Column("ATTEMPT", "attempt"),
    Column("CREATED", "create_time"),
    Column("DURATION", "duration"),
    Column("WORKER", "worker", wide=True),
    Column("PRIORITY", "priority", wide=True),
    Column("LABELS", "labels", wide=True),
    Column("ERROR", lambda row: (row.get("error") or {}).get("message")),
)


@group("tasks")
def command() -> None:
    """List, show, follow, cancel and retry tasks."""


def on_target(work: Callable[[Target], Awaitable[int]]) -> int:
    """Run `work` on what the options name; return its exit code."""

    async def run() -> int:
        async with opened(given()) as target:
            return await work(target)

    return asyncio.run(run())


@command.command("list")
@click.option("-s", "--status", metavar="WORDS", help="PENDING, running, retrying, …; several with commas.")
@click.option("-Q", "--queue", metavar="NAMES", help="Queues; `*` at the end matches a prefix.")
@click.option("--name", metavar="NAMES", help="Functions; `*` at the end matches a prefix.")
@click.option("-l", "--label", "labels", multiple=True, metavar="K=V", help="A label; may be repeated.")
@click.option("--since", metavar="MOMENT", help="Created at or after (RFC 3339).")
@click.option("--until", metavar="MOMENT", help="Created before (RFC 3339).")
@click.option("--oldest-first", is_flag=True, help="Oldest first; newest first otherwise.")
@click.option("-n", "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@common
def list_tasks(*, labels: tuple[str, ...], limit: int, oldest_first: bool, **filters: str | None) -> int:
    """List tasks."""
    names = {"since": "created_after", "until": "created_before"}
    where = {names.get(key, key): value for key, value in filters.items() if value}
    for pair in labels:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise CliError(f"--label {pair!r} is not K=V")
        where[f"label.{key}"] = value
    if oldest_first:
        where["sort"] = "create_time"

    async def run(target: Target) -> int:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(found) < limit:
            items, cursor = await target.find(where, limit=min(limit - len(found), PAGE), cursor=cursor)
            found += items
            if cursor is None:
                break
        output.rows(found, COLUMNS, given(), key="task_id")
        if cursor is not None and given().output in ("table", "wide"):
            output.say(f"there are more; -n {limit * 10} shows them", given())
        return OK

    return on_target(run)


@command.command("show")
@click.argument("task_id")
@common
def show(*, task_id: str) -> int:
    """Show one task, with its attempts when it had more than one, and the stack of its last error."""
    options = given()

    async def run(target: Target) -> int:
        task = await target.get(task_id)
        drawn = options.output in ("table", "wide")
        stack = (task.get("error") or {}).pop("stack", None) if drawn else None
        output.one({key: value for key, value in task.items() if key != "links"}, options, key="task_id")
        if drawn and task["attempt"] > 1:
            click.echo()
            output.rows(await target.attempts(task_id), ATTEMPTS, options, key="attempt")
        if stack:
            click.echo()
            click.echo("\n".join(plain_lines(stack)))
        return OK

    return on_target(run)


ATTEMPTS: Final = (
    Column("ATTEMPT", "attempt"),
    Column("OUTCOME", "outcome"),
    Column("ENDED", "end_time"),
    Column("DURATION", "duration"),
    Column("WORKER", "worker", wide=True),
    Column("ERROR", lambda row: (row.get("error") or {}).get("message")),
)


@command.command("logs")
@click.argument("task_id")
@click.option("-f", "--follow", is_flag=True, help="Go on until the task has ended.")
@common
def logs(*, task_id: str, follow: bool) -> int:
    """Print the log of a task."""

    async def run(target: Target) -> int:
        await target.get(task_id, fields=("status",))  # a task that is not there is an error, not an empty log
        if follow:
            following.show_error(await following.follow(target, task_id, printer()))
        else:
            await following.print_log(target, task_id, None, printer())
        return OK

    return on_target(run)


def printer() -> Callable[[Mapping[str, Any]], None]:
    """Return what prints a log line in the form that was asked for."""
    form = given().output
    if form in ("json", "jsonl"):
        return lambda line: click.echo(json.dumps(line, ensure_ascii=False, separators=(",", ":")))
    return lambda line: click.echo(following.log_line(line, wide=form == "wide"))


@command.command("wait")
@click.argument("task_id")
@click.option("-t", "--timeout", metavar="DURATION", help="At most so long; then exit code 75.")
@common
def wait(*, task_id: str, timeout: str | None) -> int:
    """Wait for the end of a task; exit code 0 if it succeeded, 1 if not, 75 if it still runs."""
    seconds = None if timeout is None else duration("--timeout", timeout)

    async def run(target: Target) -> int:
        task = await following.wait(target, task_id, seconds)
        output.one({key: value for key, value in task.items() if key != "links"}, given(), key="task_id")
        return following.code_of(task)

    return on_target(run)


@command.command("cancel")
@click.argument("task_ids", nargs=-1, required=True, metavar="TASK_ID…")
@click.option("--reason", default="", help="Kept with the task.")
@common
def cancel(*, task_ids: tuple[str, ...], reason: str) -> int:
    """Cancel tasks: waiting ones end at once, running ones are asked to stop."""

    async def run(target: Target) -> int:
        found = [await target.cancel(task_id, reason=reason) for task_id in task_ids]
        output.rows(found, COLUMNS, given(), key="task_id")
        return OK

    return on_target(run)


@command.command("retry")
@click.argument("task_ids", nargs=-1, required=True, metavar="TASK_ID…")
@click.option("--in", "delay", metavar="DURATION", default="", help="Run it then; at once otherwise.")
@common
def retry(*, task_ids: tuple[str, ...], delay: str) -> int:
    """Run ended tasks again, as new tasks; prints those."""
    if delay:
        duration("--in", delay)

    async def run(target: Target) -> int:
        found = [await target.retry(task_id, delay=delay) for task_id in task_ids]
        output.rows(found, COLUMNS, given(), key="task_id")
        return OK

    return on_target(run)


@command.command("why")
@click.argument("task_id")
@common
def why(*, task_id: str) -> int:
    """Say why a task waits."""
    options = given()

    async def run(target: Target) -> int:
        said = await target.why(task_id)
        if options.output in ("json", "jsonl"):
            click.echo(json.dumps(said, ensure_ascii=False))
        elif said is None:
            task = await target.get(task_id, fields=("status",))
            click.echo(f"{task_id} does not wait: it is {task['status']}")
        else:
            click.echo(output.cell(said.get("text") or said["code"]))
        return OK

    return on_target(run)


def duration(option: str, text: str) -> float:
    """Return the seconds of a duration that was typed."""
    try:
        return parse_duration(text) / 1_000_000
    except ValueError as error:
        raise CliError(f"{option} {text!r}: {error}") from None
