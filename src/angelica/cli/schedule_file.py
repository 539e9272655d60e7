"""`angelica schedules diff` and `apply`: schedules as a TOML file that people keep in Git."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from angelica.cli import output
from angelica.cli.failure import FAILED, NOT_FOUND, OK, CliError
from angelica.cli.output import Column
from angelica.cli.state import common, given
from angelica.cli.target import opened
from angelica.clock import SECOND
from angelica.durations import format_moment

COLUMNS: Final = (
    Column("SCHEDULE", "schedule_id"),
    Column("OUTCOME", "outcome"),
    Column("CHANGES", lambda row: "; ".join(map(change_text, row.get("changes", ())))),
    Column("KEPT", lambda row: ",".join(row.get("kept", ()))),
    Column("PROBLEM", lambda row: row.get("problem")),
)
_MEMBERS: Final = frozenset({"source", "schedules", "defaults"})
_HINT: Final = 'a table for each: [schedules.nightly], with name = "reports.nightly" and cron = "0 2 * * *"'


@click.command("diff")
@click.argument("file", metavar="FILE")
@click.option("--redeclare", is_flag=True, help="As if applied with --redeclare.")
@common
def diff(*, file: str, redeclare: bool) -> int:
    """Say what `apply FILE` would change; exit code 1 if something."""
    rows = asyncio.run(_send({**read_file(file), "redeclare": redeclare, "dry_run": True}))
    differing = [row for row in rows if row["outcome"] != "unchanged"]
    output.rows(rows if given().output in ("json", "jsonl", "wide") else differing, COLUMNS, given(), key="schedule_id")
    if not differing:
        output.say(f"{len(rows)} schedules stand as {file} says", given())
    return FAILED if differing else OK


@click.command("apply")
@click.argument("file", metavar="FILE")
@click.option("--redeclare", is_flag=True, help="Also where a newer file was applied, or an operator deleted it.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@common
def apply(*, file: str, redeclare: bool, dry_run: bool) -> int:
    """Declare the schedules of a TOML file; what operators edited stays, what left the file is paused as orphaned."""
    rows = asyncio.run(_send({**read_file(file), "redeclare": redeclare, "dry_run": dry_run}))
    output.rows(rows, COLUMNS, given(), key="schedule_id")
    for row in rows:
        if row["outcome"] == "older":
            output.say(f"{row['schedule_id']}: a newer file was applied; --redeclare goes back", given())
        elif row["outcome"] == "deleted":
            output.say(f"{row['schedule_id']}: an operator deleted it; --redeclare brings it back", given())
        elif row.get("kept"):
            fields = ", ".join(row["kept"])
            output.say(f"{row['schedule_id']}: an edit of {fields} is kept; `schedules reset` takes it back", given())
    return FAILED if any(row["outcome"] == "refused" for row in rows) else OK


async def _send(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    async with opened(given(), create=not body["dry_run"]) as target:
        return list((await target.ask("POST", "schedules", "batch", body=body))["items"])


def read_file(name: str) -> dict[str, Any]:
    """Return what a file declares, as the request that declares it.

    `[schedules.ID]` are the definitions, `[defaults]` members that all of them have unless they say otherwise
    (`task` member by member); `source` names the file, so that what leaves it is noticed: its name otherwise. How
    new the file is says its time.
    """
    path = Path(name)
    try:
        found = tomllib.loads(path.read_text("utf-8"))
        changed = path.stat().st_mtime_ns // 1000
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise CliError(f"cannot read {name}: {reason}", exit_code=NOT_FOUND) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CliError(f"{name}: {error}", hint="it must be TOML") from None
    unknown = sorted(set(found) - _MEMBERS)
    if unknown:
        raise CliError(f"{name}: {unknown[0]} is unknown", hint=_HINT)
    schedules, defaults = found.get("schedules", {}), found.get("defaults", {})
    if not isinstance(schedules, dict) or not all(isinstance(each, dict) for each in schedules.values()):
        raise CliError(f"{name}: schedules must be tables", hint=_HINT)
    source = found.get("source") or f"file:{path.name}"
    if not isinstance(source, str) or not isinstance(defaults, dict):
        raise CliError(f"{name}: source is a text, defaults a table", hint=_HINT)
    items = [{**_with(defaults, each), "schedule_id": key} for key, each in schedules.items()]
    revision = format_moment(changed // SECOND * SECOND)
    return {"source": source, "revision": revision, "schedules": plain(items, name)}


def _with(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    made = {**defaults, **own}
    if isinstance(defaults.get("task"), Mapping) and isinstance(own.get("task"), Mapping):
        made["task"] = {**defaults["task"], **own["task"]}
    return made


def plain(value: Any, name: str) -> Any:
    """Return a value of TOML as JSON: moments become text."""
    if isinstance(value, Mapping):
        return {key: plain(each, name) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each, name) for each in value]
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, dt.date | dt.time):
        raise CliError(f"{name}: {value} is half a moment", hint="write day and time, as in 2026-11-22T02:00:00Z")
    return value


def change_text(change: Mapping[str, Any]) -> str:
    """Return one change as `cron: "0 2 * * *" → "0 3 * * *"`."""
    before, after = (json.dumps(change[key], ensure_ascii=False) for key in ("from", "to"))
    return f"{change['field']}: {after}" if change["from"] is None else f"{change['field']}: {before} → {after}"
