"""`angelica schedules`: list, show, add, change, run, import and apply schedules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from angelica.cli import output, schedule_act, schedule_edit, schedule_file, schedule_import
from angelica.cli.failure import OK
from angelica.cli.group import group
from angelica.cli.output import Column
from angelica.cli.state import common, given
from angelica.cli.target import Target
from angelica.cli.tasks import PAGE, on_target


def clocks(row: Mapping[str, Any]) -> str:
    """Return what a reader must know of the clocks at a fire, empty if nothing."""
    return (row.get("mark") or "").replace("_", " ") or ("offset changed" if row.get("offset_changed") else "")


COLUMNS: Final = (
    Column("SCHEDULE", "schedule_id"),
    Column("NAME", "name"),
    Column("STATE", "state"),
    Column("WHEN", lambda row: row["description"]["en"]),
    Column("ZONE", "timezone"),
    Column("NEXT", "next_fire_time"),
    Column("LAST", "last_fire_time"),
    Column("RUNS", "runs"),
    Column("OWNER", "owner", wide=True),
    Column("VERSION", "version", wide=True),
    Column("REASON", "state_reason", wide=True),
)
TIMES: Final = (
    Column("LOCAL", lambda row: row["local"].replace("T", " ")),
    Column("OFFSET", "offset"),
    Column("UTC", "time"),
    Column("CLOCKS", clocks),
)
FIRES: Final = (
    Column("FIRE", "fire_time"),
    Column("KIND", "kind"),
    Column("TASK", "task_id"),
    Column("REASON", "reason"),
    Column("COUNT", "count"),
    Column("TO", "last_time", wide=True),
)
_DEFAULTS: Final[dict[str, Any]] = {
    "dialect": "standard",
    "day_match": "auto",
    "mode": "rate",
    "jitter": 0,
    "jitter_mode": "each",
}


@group("schedules")
def command() -> None:
    """List, add, change, run, import and apply schedules."""


@command.command("list")
@click.option("-s", "--state", metavar="WORDS", help="active, paused, orphaned, completed; several with commas.")
@click.option("--name", metavar="NAMES", help="Functions; `*` at the end matches a prefix.")
@click.option("--owner", type=click.Choice(["api", "code"]), help="Made over the API, or declared.")
@click.option("--prefix", metavar="TEXT", help="Ids that begin so.")
@click.option("-n", "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@common
def list_schedules(*, limit: int, **filters: str | None) -> int:
    """List schedules."""
    where = {key: value for key, value in filters.items() if value}

    async def run(target: Target) -> int:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(found) < limit:
            query = {**where, "limit": str(min(limit - len(found), PAGE)), **({"cursor": cursor} if cursor else {})}
            page = await target.ask("GET", "schedules", query=query)
            found += page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                break
        output.rows(found, COLUMNS, given(), key="schedule_id")
        if cursor is not None and given().output in ("table", "wide"):
            output.say(f"there are more; -n {limit * 10} shows them", given())
        return OK

    return on_target(run)


@command.command("show")
@click.argument("schedule_id")
@common
def show(*, schedule_id: str) -> int:
    """Show one schedule with its next fires and its last one."""
    options = given()

    async def run(target: Target) -> int:
        schedule = await target.ask("GET", "schedules", schedule_id)
        if options.output not in ("table", "wide"):
            output.one(schedule, options, key="schedule_id")
            return OK
        hidden = {"links", "next_times", "warnings", "description", "last_fire"}
        shown = {
            key: value
            for key, value in schedule.items()
            if key not in hidden and (options.output == "wide" or _DEFAULTS.get(key, ...) != value)
        }
        shown = {"schedule_id": schedule["schedule_id"], "description": schedule["description"]["en"], **shown}
        output.one(shown, options, key="schedule_id")
        for warning in schedule["warnings"]:
            click.echo(f"warning: {output.cell(warning['en'])}")
        if last := schedule.get("last_fire"):
            click.echo()
            output.rows([last], FIRES, options, key="task_id")
        if schedule["next_times"]:
            click.echo()
            output.rows(schedule["next_times"], TIMES, options, key="time")
        return OK

    return on_target(run)


@command.command("next")
@click.argument("schedule_id")
@click.option("-n", "--count", type=click.IntRange(1, 1000), default=10, show_default=True, help="So many.")
@click.option("--after", metavar="MOMENT", help="After this moment (RFC 3339); after now otherwise.")
@common
def upcoming(*, schedule_id: str, count: int, after: str | None) -> int:
    """List the fires to come, on the clocks of its zone and in UTC."""

    async def run(target: Target) -> int:
        query = {"count": str(count), **({"after": after} if after else {})}
        found = await target.ask("GET", "schedules", schedule_id, "next", query=query)
        output.rows(found["items"], TIMES, given(), key="time")
        if found["state"] != "active":
            output.say(f"the schedule is {found['state']}: nothing fires until it is resumed", given())
        return OK

    return on_target(run)


@command.command("fires")
@click.argument("schedule_id")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@common
def fires(*, schedule_id: str, limit: int) -> int:
    """List what fired, the newest first, with its task, or the reason why it did not run."""

    async def run(target: Target) -> int:
        found = await target.ask("GET", "schedules", schedule_id, "fires", query={"limit": str(limit)})
        output.rows(found["items"], FIRES, given(), key="task_id")
        return OK

    return on_target(run)


for _each in (
    schedule_edit.add,
    schedule_edit.edit,
    schedule_edit.reset,
    schedule_edit.delete,
    schedule_edit.rehearse,
    schedule_act.pause,
    schedule_act.resume,
    schedule_act.run_now,
    schedule_act.backfill,
    schedule_file.diff,
    schedule_file.apply,
    schedule_import.command,
):
    command.add_command(_each)
