"""`angelica schedules import`: what the entries of a foreign file become; written only with --apply."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from angelica.cli import output, toml_text
from angelica.cli.failure import FAILED, NOT_FOUND, OK, CliError
from angelica.cli.imports.formats import FORMATS, guess, read
from angelica.cli.imports.found import Found, Unreadable, Wishes
from angelica.cli.output import Column
from angelica.cli.state import common, given
from angelica.cli.target import Target
from angelica.cli.tasks import on_target
from angelica.clock import wall_micros
from angelica.domain.cron.zones import find_zone
from angelica.errors import InvalidValue
from angelica.http.remote import RemoteProblem

COLUMNS: Final = (
    Column("PLACE", "place"),
    Column("BECOMES", "outcome"),
    Column("SCHEDULE", "schedule_id"),
    Column("FUNCTION", "name"),
    Column("WHEN", "when"),
    Column("ENTRY", "text", wide=True),
    Column("REMARKS", lambda row: "; ".join(row["remarks"])),
)


@click.command("import")
@click.argument("source", metavar="FILE|-")
@click.option("--from", "form", type=click.Choice(FORMATS), help="What kind of file it is; guessed otherwise.")
@click.option("--tz", "timezone", metavar="ZONE", help="The zone of times that name none; UTC otherwise.")
@click.option("--map", "names", multiple=True, metavar="OLD=FUNCTION", help="What OLD is here; `*` may end OLD.")
@click.option("--function", metavar="NAME", help="Runs every command line that no --map names, as `command=…`.")
@click.option("--apply/--dry-run", "write", default=False, help="Store them; otherwise only say what would be.")
@click.option("--toml", "as_toml", is_flag=True, help="Print them as a file for `schedules apply`.")
@common
def command(*, source: str, form: str | None, write: bool, as_toml: bool, **wishes: Any) -> int:
    """Read a crontab, a Celery beat_schedule, a django-celery-beat dump or APScheduler jobs from FILE.

    Nothing of the file is ever run. Says of each entry what it becomes, and changes nothing without --apply.
    Exit code 1 if an entry was refused.
    """
    text = read_text(source)
    form = form or guess(source, text)
    try:
        entries = read(form, text, _wishes(**wishes), now=wall_micros())
    except Unreadable as error:
        raise CliError(f"{source}: {error}", hint=f"read as {form}; --from names another form") from None
    if as_toml:
        return _print_toml(source, form, entries)
    if not write:
        _report([_row(entry) for entry in entries])
        output.say(f"{source} as {form}: {_count(entries)}; nothing was stored (--apply stores)", given())
        return FAILED if any(entry.body is None for entry in entries) else OK
    return on_target(lambda target: _store(target, entries))


def read_text(source: str) -> str:
    """Return the text of a file, or of stdin for `-`."""
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise CliError(f"cannot read {source}: {reason}", exit_code=NOT_FOUND) from None


def _wishes(*, timezone: str | None, names: Sequence[str], function: str | None) -> Wishes:
    if timezone is not None:
        try:
            find_zone(timezone)
        except InvalidValue as error:
            raise CliError(f"--tz: {error.problem}", hint=error.hint) from None
    found: dict[str, str] = {}
    for pair in names:
        old, separator, new = pair.rpartition("=")
        if not separator or not old or not new:
            raise CliError(f"--map {pair!r} is not OLD=FUNCTION", hint="--map 'backup.sh *=ops.backup', for example")
        found[old] = new
    return Wishes(timezone, found, function)


def _row(entry: Found, outcome: str = "", remark: str = "") -> dict[str, Any]:
    body: Mapping[str, Any] = entry.body or {}
    when = next((str(body[key]) for key in ("cron", "every", "at") if key in body), None)
    zone = f" {body['timezone']}" if when and body.get("timezone") else ""
    return {
        "place": entry.place,
        "outcome": outcome or ("schedule" if entry.body is not None else "refused"),
        "schedule_id": body.get("schedule_id"),
        "name": body.get("name"),
        "when": None if when is None else when + zone,
        "text": entry.text,
        "remarks": [part for part in (entry.refused, remark, *entry.notes) if part],
        "body": entry.body,
    }


def _report(rows: Sequence[Mapping[str, Any]]) -> None:
    output.rows(rows, COLUMNS, given(), key="schedule_id")


def _count(entries: Sequence[Found]) -> str:
    refused = sum(entry.body is None for entry in entries)
    return f"{len(entries) - refused} schedules, {refused} refused"


async def _store(target: Target, entries: Sequence[Found]) -> int:
    """Create each; the same import again finds what stands."""
    rows = []
    for entry in entries:
        if entry.body is None:
            rows.append(_row(entry))
            continue
        try:
            await target.ask("POST", "schedules", body=entry.body)
            rows.append(_row(entry, "stored"))
        except RemoteProblem as problem:
            if problem.status in (0, 401, 403) or problem.status >= 500:  # noqa: PLR2004 - nothing else will go better
                raise
            rows.append(_row(entry, "refused", str(problem)))
    _report(rows)
    failed = sum(row["outcome"] == "refused" for row in rows)
    output.say(f"{len(rows) - failed} stored, {failed} refused", given())
    return FAILED if failed else OK


def _print_toml(source: str, form: str, entries: Sequence[Found]) -> int:
    """A file for `schedules apply`; what was refused stands in it as a comment."""
    click.echo(f"# {form} {output.cell(source)}: {_count(entries)}")
    failed = False
    for entry in entries:
        remarks = [output.cell(part) for part in (entry.refused, *entry.notes) if part]
        click.echo(f"\n# {entry.place}: {output.cell(entry.text)}")
        for remark in remarks:
            click.echo(f"#   {remark}")
        if entry.body is None:
            failed = True
            continue
        body = {key: value for key, value in entry.body.items() if key != "schedule_id"}
        try:
            click.echo(toml_text.table(["schedules", entry.body["schedule_id"]], body), nl=False)
        except toml_text.NoToml as error:
            failed = True
            click.echo(f"#   refused: {error}")
    return FAILED if failed else OK
