"""`angelica cron`: what a schedule text means: words, next runs, warnings; stores nothing and needs no store."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import click

from angelica.cli.failure import CliError
from angelica.cli.state import common, given
from angelica.clock import SECOND, wall_micros
from angelica.domain.cron.caution import warnings_for
from angelica.domain.cron.evaluate import Trigger, first_fire, upcoming
from angelica.domain.cron.expression import Cron
from angelica.domain.cron.interval import Every
from angelica.domain.cron.local import local_of
from angelica.domain.cron.parse import DAY_MATCHES, DIALECTS, parse
from angelica.domain.cron.repeat import Repeat, parse_repeat
from angelica.domain.cron.words import Words, describe
from angelica.domain.cron.zones import Zone, find_zone
from angelica.durations import format_moment, parse_moment
from angelica.errors import InvalidValue

LANGUAGES: Final = ("en", "zh")
MOST: Final = 1000
MARKS: Final = {
    "en": {
        "after_gap": "the clocks have just gone forward",
        "first_pass": "first of two passes",
        "second_pass": "second of two passes",
        "offset": "offset has changed",
    },
    "zh": {
        "after_gap": "时钟刚刚拨快",
        "first_pass": "重复时段的第一次",
        "second_pass": "重复时段的第二次",
        "offset": "偏移已变",
    },
}
LABELS: Final = {
    "en": {"warning": "warning", "none": "no further run"},
    "zh": {"warning": "注意", "none": "不再运行"},
}


@click.command("cron")
@click.argument("expression", nargs=-1, required=True, metavar="EXPR")
@click.option("--tz", "timezone", metavar="ZONE", help="An IANA name or an offset such as +08:00; UTC otherwise.")
@click.option("-n", "--count", type=click.IntRange(0, MOST), default=5, show_default=True, help="So many next runs.")
@click.option("--dialect", type=click.Choice(DIALECTS), default="standard", help="How to read it.")
@click.option("--day-match", type=click.Choice(DAY_MATCHES), default="auto", help="When both day fields are set.")
@click.option("--after", metavar="MOMENT", help="Runs after this moment (RFC 3339); after now otherwise.")
@click.option("--lang", type=click.Choice(LANGUAGES), help="The language of the words; from LANG otherwise.")
@common
def command(*, expression: tuple[str, ...], timezone: str | None, lang: str | None, count: int, **how: Any) -> None:
    """Explain the schedule text EXPR: `0 0 2 * * ?`, `@every 90s`, `R5/2026-01-31T09:00/P1M`.

    Stores nothing and asks no server. Quote it, or the shell puts file names in place of `*`.
    """
    text = " ".join(expression)
    after = moment_of(how.pop("after"))
    try:
        trigger = read_trigger(text, timezone=timezone, now=after, **how)
        first_fire(trigger, after, pointer="/repeat" if isinstance(trigger, Repeat) else "/cron")
    except InvalidValue as error:
        point_at(error, text)
        if any(Path(word).exists() for word in expression):
            raise CliError(str(error), hint="the shell has put file names in place of `*`; quote the text") from None
        raise
    options = given()
    if options.output in ("json", "jsonl"):
        indent = 2 if options.output == "json" else None
        click.echo(json.dumps(explained(trigger, timezone, after, count), ensure_ascii=False, indent=indent))
        return
    for line in lines(trigger, timezone, after, count, lang or language()):
        click.echo(line)


def read_trigger(text: str, *, timezone: str | None, dialect: Any, day_match: Any, now: int) -> Trigger:
    """Return what a text means: a cron text, `@every`, or an ISO 8601 repeat."""
    if text[:1] in "Rr" and "/" in text:
        return parse_repeat(text, timezone=timezone)
    found = parse(text, timezone=timezone, dialect=dialect, day_match=day_match)
    # Where nothing is stored, an interval begins now.
    return Every(found.period, anchor=now, skip_anchor=True) if isinstance(found, Every) else found


def moment_of(text: str | None) -> int:
    """Return the moment of `--after`, else now."""
    if text is None:
        return wall_micros() // SECOND * SECOND
    try:
        return parse_moment(text)
    except ValueError as error:
        raise CliError(f"--after {text!r}: {error}") from None


def point_at(error: InvalidValue, text: str) -> None:
    """Show a person the place in `text` that an error means."""
    token, position = str(error.params.get("token") or ""), int(error.params.get("position", 0))
    if given().output not in ("json", "jsonl") and token and text.isprintable() and text.isascii():
        click.echo(f"  {text}\n  {' ' * position}{'^' * len(token)}", err=True)


def lines(trigger: Trigger, timezone: str | None, after: int, count: int, lang: str) -> list[str]:
    """Return the explanation for eyes."""
    zone = zone_of(trigger, timezone)
    made = [f"{spoken(describe(trigger), lang)}  ({zone.name})"]
    if count:
        made.append("")
    before = local_of(zone, after).offset
    found = upcoming(trigger, after, count)
    for fire in found:
        shown = local_of(zone, fire)
        marks = [MARKS[lang][shown.mark]] if shown.mark else []
        if shown.offset != before and not marks:
            marks = [MARKS[lang]["offset"]]
        before = shown.offset
        tail = f"  {', '.join(marks)}" if marks else ""
        made.append(f"  {shown.text.replace('T', ' ')} {shown.offset}  {format_moment(fire)}{tail}")
    if len(found) < count:
        made.append(f"  ({LABELS[lang]['none']})")
    cautions = warnings_for(trigger)
    if cautions:
        made.append("")
    return made + [f"{LABELS[lang]['warning']}: {spoken(words, lang)}" for words in cautions]


def explained(trigger: Trigger, timezone: str | None, after: int, count: int) -> dict[str, Any]:
    """Return the explanation for programs: the members of `POST /schedules/preview`."""
    zone = zone_of(trigger, timezone)
    times = []
    for fire in upcoming(trigger, after, count):
        shown = local_of(zone, fire)
        times.append({"time": format_moment(fire), "local": shown.text, "offset": shown.offset, "mark": shown.mark})
    return {
        "timezone": zone.name,
        "description": told(describe(trigger)),
        "next_times": times,
        "warnings": [told(words) for words in warnings_for(trigger)],
    }


def zone_of(trigger: Trigger, timezone: str | None) -> Zone:
    """Return the zone whose clocks the runs are shown on."""
    return trigger.zone if isinstance(trigger, Cron | Repeat) else find_zone(timezone or "UTC")


def told(words: Words) -> dict[str, Any]:
    """Return words as JSON."""
    return {"code": words.code, "params": words.params, "en": words.en, "zh": words.zh}


def spoken(words: Words, lang: str) -> str:
    """Return words in a language."""
    return words.zh if lang == "zh" else words.en


def language(environ: Any = os.environ) -> str:
    """Return the language that the environment asks for, `en` or `zh`."""
    wanted = environ.get("LC_ALL") or environ.get("LC_MESSAGES") or environ.get("LANG") or ""
    return "zh" if wanted.lower().startswith("zh") else "en"
