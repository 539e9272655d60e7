"""What is done with schedules from the shell: pause, resume, run, backfill."""

from __future__ import annotations

from typing import Any, Final

import click

from angelica.cli import output
from angelica.cli.enqueue import read_argument
from angelica.cli.failure import FAILED, OK
from angelica.cli.output import Column
from angelica.cli.state import common, given
from angelica.cli.target import Target
from angelica.cli.tasks import on_target

STATES: Final = (
    Column("SCHEDULE", "schedule_id"),
    Column("STATE", "state"),
    Column("REASON", "state_reason"),
    Column("NEXT", "next_fire_time"),
)


@click.command("pause")
@click.argument("schedule_ids", nargs=-1, required=True, metavar="SCHEDULE_ID…")
@click.option("--reason", default="", help="Shown with the schedule.")
@common
def pause(*, schedule_ids: tuple[str, ...], reason: str) -> int:
    """Stop schedules from firing; runs go on."""
    return _each(schedule_ids, "pause", {"reason": reason} if reason else {})


@click.command("resume")
@click.argument("schedule_ids", nargs=-1, required=True, metavar="SCHEDULE_ID…")
@click.option("--catch-up", is_flag=True, help="Treat what was due meanwhile as missed, by the catch-up policy.")
@common
def resume(*, schedule_ids: tuple[str, ...], catch_up: bool) -> int:
    """Let schedules fire again."""
    return _each(schedule_ids, "resume", {"catch_up": True} if catch_up else {})


def _each(schedule_ids: tuple[str, ...], verb: str, body: dict[str, Any]) -> int:
    async def run(target: Target) -> int:
        found = [await target.ask("POST", "schedules", each, verb, body=body) for each in schedule_ids]
        output.rows(found, STATES, given(), key="schedule_id")
        return OK

    return on_target(run)


@click.command("run")
@click.argument("schedule_id")
@click.argument("arguments", nargs=-1, metavar="[K=V]…")
@click.option("-Q", "--queue", metavar="QUEUE", help="Put this run in another queue.")
@common
def run_now(*, schedule_id: str, arguments: tuple[str, ...], queue: str | None) -> int:
    """Run a schedule once now, paused or not; K=V are arguments that differ this once. Prints the task."""
    body: dict[str, Any] = {"queue": queue} if queue else {}
    if kwargs := dict(map(read_argument, arguments)):
        body["kwargs"] = kwargs

    async def run(target: Target) -> int:
        task = await target.ask("POST", "schedules", schedule_id, "trigger", body=body)
        options = given()
        if options.output in ("json", "jsonl"):
            output.one(task, options, key="task_id")
        else:
            click.echo(task["task_id"])
        return OK

    return on_target(run)


@click.command("backfill")
@click.argument("schedule_id")
@click.option("--from", "start", metavar="MOMENT", required=True, help="Fires from this moment on (RFC 3339).")
@click.option("--to", "end", metavar="MOMENT", required=True, help="Fires before this moment.")
@click.option("--force", is_flag=True, help="Also those that have run.")
@click.option("--dry-run", is_flag=True, help="Only say which.")
@click.option("--all-at-once", is_flag=True, help="Not one after the other.")
@common
def backfill(*, schedule_id: str, start: str, end: str, all_at_once: bool, **flags: bool) -> int:
    """Run what did not run in a past stretch of time."""
    body: dict[str, Any] = {"from": start, "to": end, **flags}
    if all_at_once:
        body["overlap"] = "allow"

    async def run(target: Target) -> int:
        options = given()
        operation = await target.ask("POST", "schedules", schedule_id, "backfill", body=body)
        if options.output in ("json", "jsonl"):
            output.one(operation, options, key="operation_id")
            return OK
        if flags["dry_run"]:
            for time in operation["detail"].get("times", ()):
                click.echo(time)
        words = "would run" if flags["dry_run"] else "stored"
        count = operation["total"] if flags["dry_run"] else operation["done"]
        output.say(f"{count} {words}, {operation['skipped']} have run already", options)
        return FAILED if operation["state"] == "failed" else OK

    return on_target(run)
