"""Definitions of schedules from the shell: add, edit, reset, delete, rehearse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import click

from angelica.cli import output
from angelica.cli.enqueue import read_argument, read_object
from angelica.cli.failure import OK, CliError
from angelica.cli.output import Column
from angelica.cli.state import common, given
from angelica.cli.target import Target, opened
from angelica.cli.tasks import on_target

F = TypeVar("F", bound=Callable[..., Any])

_WHEN: Final[tuple[tuple[tuple[str, ...], str, str], ...]] = (
    (("--cron",), "TEXT", "5, 6 or 7 fields, or a macro: '0 2 * * *', @daily."),
    (("--every",), "DURATION", "At this interval: 90s, 1h30m."),
    (("--at",), "MOMENT", "Once, at this moment."),
    (("--in", "in"), "DURATION", "Once, so long from now."),
    (("--repeat",), "TEXT", "ISO 8601: R5/2026-01-31T09:00/P1M."),
    (("--tz", "timezone"), "ZONE", "An IANA name or an offset such as +08:00; UTC otherwise."),
    (("--overlap",), "WORD", "skip, allow, queue_one, queue_all, cancel."),
    (("--catch-up",), "WORD", "skip, latest, all."),
    (("--jitter",), "DURATION", "Delay each fire by up to so much."),
)
_TASK: Final[tuple[tuple[tuple[str, ...], str, str], ...]] = (
    (("-Q", "--queue"), "QUEUE", "Put its tasks in this queue."),
    (("--timeout",), "DURATION", "At most so long for one attempt."),
)


def _options(rows: Iterable[tuple[tuple[str, ...], str, str]]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for flags, metavar, text in reversed(tuple(rows)):
            command = click.option(*flags, metavar=metavar, help=text)(command)
        return command

    return decorate


@click.command("add")
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[K=V]…")
@click.option("--id", "schedule_id", metavar="ID", help="Choose the id; the same again answers what stands.")
@_options(_WHEN)
@_options(_TASK)
@click.option("--retries", type=int, help="Tries after the first one.")
@click.option("--set", "more", multiple=True, metavar="K=V", help="Any other member: max_runs=3, task.priority=5.")
@click.option("--paused", is_flag=True, help="Store it, and fire only after `resume`.")
@common
def add(
    *,
    name: str,
    arguments: tuple[str, ...],
    schedule_id: str | None,
    more: tuple[str, ...],
    paused: bool,
    **given_: Any,
) -> int:
    """Add a schedule that runs the function NAME with the arguments K=V."""
    body: dict[str, Any] = {"name": name, **({"schedule_id": schedule_id} if schedule_id else {})}
    task = {key: given_.pop(key) for key in ("queue", "timeout", "retries")}
    body |= {key: value for key, value in given_.items() if value is not None}
    if kwargs := dict(map(read_argument, arguments)):
        body["kwargs"] = kwargs
    if task := {key: value for key, value in task.items() if value is not None}:
        body["task"] = task
    body = merge(body, more)
    if paused:
        body["enabled"] = False
    return on_new_target(body)


def on_new_target(body: Mapping[str, Any]) -> int:
    """Create a schedule, in a store that may be new; print its id, its words and what warns."""
    import asyncio

    async def run() -> int:
        async with opened(given(), create=True) as target:
            told(await target.ask("POST", "schedules", body=body))
        return OK

    return asyncio.run(run())


def told(schedule: Mapping[str, Any]) -> None:
    """Print a schedule that was stored: its id, and for people what it will do."""
    options = given()
    if options.output in ("json", "jsonl"):
        output.one(schedule, options, key="schedule_id")
        return
    click.echo(schedule["schedule_id"])
    following = schedule.get("next_fire_time") or "no fire is armed"
    remark = f"{schedule['description']['en']} ({schedule['timezone']}); next: {following}"
    output.say(remark if schedule["state"] == "active" else f"{remark}; {schedule['state']}", options)
    for warning in schedule.get("warnings", ()):
        output.say(f"warning: {output.cell(warning['en'])}", options)


def merge(body: Mapping[str, Any], pairs: Iterable[str]) -> dict[str, Any]:
    """Return `body` with `K=V` pairs; a dot reaches inside (`task.queue=mail`), `null` takes away."""
    made = dict(body)
    for pair in pairs:
        path, value = read_argument(pair)
        place = made
        *outer, last = path.split(".")
        for part in outer:
            inside = place.get(part)
            place[part] = place = dict(inside) if isinstance(inside, Mapping) else {}
        if last in place:
            raise CliError(f"{path} is given twice")
        place[last] = value
    return made


@click.command("edit")
@click.argument("schedule_id")
@click.argument("changes", nargs=-1, metavar="K=V…")
@click.option("--json", "source", metavar="FILE|-", help="Read the changes as a JSON object (a merge patch).")
@click.option("--version", type=int, help="Refuse if it was edited since this version.")
@common
def edit(*, schedule_id: str, changes: tuple[str, ...], source: str | None, version: int | None) -> int:
    """Change members of a schedule: cron='0 3 * * *', task.queue=mail, jitter=null (back to its default)."""
    body = merge(read_object(source), changes)
    if not body:
        raise CliError("nothing to change", hint="angelica schedules edit nightly cron='0 3 * * *', for example")
    if version is not None:
        body["version"] = version

    async def run(target: Target) -> int:
        told(await target.ask("PATCH", "schedules", schedule_id, body=body))
        return OK

    return on_target(run)


@click.command("reset")
@click.argument("schedule_id")
@click.argument("field", required=False)
@common
def reset(*, schedule_id: str, field: str | None) -> int:
    """Take edits back to what code declares: of one FIELD (`task.queue` is one), or all."""

    async def run(target: Target) -> int:
        told(await target.ask("POST", "schedules", schedule_id, "reset", body={"field": field} if field else {}))
        return OK

    return on_target(run)


@click.command("delete")
@click.argument("schedule_ids", nargs=-1, required=True, metavar="SCHEDULE_ID…")
@click.option("--cancel-running", is_flag=True, help="Also cancel its runs that have not ended.")
@common
def delete(*, schedule_ids: tuple[str, ...], cancel_running: bool) -> int:
    """Delete schedules with their history; their runs go on."""
    query = {"cancel_running": "true"} if cancel_running else {}

    async def run(target: Target) -> int:
        for schedule_id in schedule_ids:
            await target.ask("DELETE", "schedules", schedule_id, query=query)
            output.say(f"deleted {schedule_id}", given())
        return OK

    return on_target(run)


REHEARSED: Final = (
    Column("WHEN", "when"),
    Column("LOCAL", lambda row: row["local"].replace("T", " ")),
    Column("OFFSET", "offset"),
    Column("UTC", "time"),
)


@click.command("rehearse")
@click.argument("name")
@_options(_WHEN)
@click.option("--past", metavar="DURATION", default="7d", show_default=True, help="So far back.")
@click.option("--future", metavar="DURATION", default="7d", show_default=True, help="So far ahead.")
@common
def rehearse(*, name: str, **given_: Any) -> int:
    """Say when a schedule of the function NAME would have fired, and will; stores nothing."""
    body = {"name": name, **{key: value for key, value in given_.items() if value is not None}}

    async def run(target: Target) -> int:
        found = await target.ask("POST", "schedules", "rehearse", body=body)
        options = given()
        if options.output in ("json", "jsonl"):
            output.one(found, options, key="timezone")
            return OK
        rows = [{"when": when, **row} for when in ("past", "future") for row in found[when]]
        output.rows(rows, REHEARSED, options, key="time")
        typical = found["typical_run"]
        beside = "" if typical is None else f"; runs take {typical:.3g} s: {found['overlaps']} would overlap"
        output.say(f"{found['description']['en']} ({found['timezone']}){beside}", options)
        for warning in found["warnings"]:
            output.say(f"warning: {output.cell(warning['en'])}", options)
        return OK

    return on_target(run)
