"""Schedule texts: zone prefix, macros, `@every`, and 5, 6 or 7 fields."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from angelica.domain.cron.dayfields import parse_month_days, parse_week_days
from angelica.domain.cron.days import DayMatch, combine
from angelica.domain.cron.duration import LEAST_PERIOD, parse_elapsed
from angelica.domain.cron.expression import Cron
from angelica.domain.cron.fields import DAY, FIELDS, HOUR, MINUTE, MONTH, SECOND, WEEKDAY, YEAR
from angelica.domain.cron.interval import Every
from angelica.domain.cron.items import YEAR_IN_WEEKDAY, Dialect, parse_mask
from angelica.domain.cron.problem import Part, problem
from angelica.domain.cron.zones import Zone, find_zone
from angelica.errors import InvalidValue

LONGEST: Final = 512
DIALECTS: Final[tuple[Dialect, ...]] = ("standard", "quartz")
DAY_MATCHES: Final[tuple[DayMatch, ...]] = ("auto", "any", "all")
MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_WORD: Final = re.compile(r"[^ \t\n\r\f\v]+")
_PREFIX: Final = re.compile(r"(?:CRON_)?TZ=([^ \t\n\r\f\v]*)", re.IGNORECASE)
_QUARTZ_HINT: Final = "the quartz dialect wants '?' in exactly one of day of month and day of week"


def parse(
    text: str,
    *,
    timezone: str | None = None,
    dialect: Dialect = "standard",
    day_match: DayMatch = "auto",
    least: int = LEAST_PERIOD,
) -> Cron | Every:
    """Return what a schedule text means; the same text is parsed once.

    `timezone` is an IANA name or a fixed offset (default UTC); a `TZ=` prefix that names another is an error. `least`
    is the least interval of `@every` in microseconds. An `Every` comes back on the grid of the epoch: set its `anchor`
    by `dataclasses.replace`. Raises `InvalidValue` at `/cron` (or `/timezone`, `/dialect`, `/day_match`) with `rule`
    and the params `field`, `position` (in characters of `text`, from 0), `token` and `hint`.
    """
    if not isinstance(text, str):
        raise problem("a schedule is a text", "bad_type", hint="write it like '0 2 * * *'")
    if len(text) > LONGEST:
        raise problem(f"the text has {len(text)} characters", "text_too_long", hint=f"at most {LONGEST}")
    if dialect not in DIALECTS:
        raise problem(f"{dialect!r} is no dialect", "bad_dialect", hint="standard or quartz", pointer="/dialect")
    if day_match not in DAY_MATCHES:
        raise problem(f"{day_match!r} is no rule", "bad_day_match", hint="auto, any or all", pointer="/day_match")
    # Only an interval has a least one; elsewhere a text that was read and is evaluated later is the same to the cache.
    bound = least if "@" in text else LEAST_PERIOD
    return _parse(text, None if timezone is None else find_zone(timezone), dialect, day_match, bound)


@lru_cache(maxsize=4096)
def _parse(text: str, zone: Zone | None, dialect: Dialect, day_match: DayMatch, least: int) -> Cron | Every:
    if not text.isascii():
        at = next(i for i, letter in enumerate(text) if not letter.isascii())
        hint = "a schedule is ASCII; look for full-width digits, dashes or spaces"
        raise problem(f"{text[at]!r} is not ASCII", "not_ascii", token=text[at], position=at, hint=hint)
    words = [(found[0], found.start()) for found in _WORD.finditer(text)]
    if words and (prefix := _PREFIX.fullmatch(words[0][0])):
        zone = _prefix_zone(prefix[1], words[0][1] + prefix.start(1), zone)
        words = words[1:]
    zone = zone or find_zone("UTC")
    if not words:
        raise problem("the schedule is empty", "empty", position=len(text), hint="write it like '0 2 * * *'")
    if words[0][0].startswith("@"):
        return _special(words, zone, day_match, least)
    return _fields(words, zone, dialect, day_match)


def _prefix_zone(name: str, position: int, given: Zone | None) -> Zone:
    zone = find_zone(name, pointer="/cron", position=position)
    if given is not None and given != zone:
        hint = f"the schedule's time zone is {given.name}; give it once"
        what = f"the prefix names {zone.name}"
        raise problem(what, "zone_conflict", field="timezone", token=name, position=position, hint=hint)
    return zone


def _special(words: list[tuple[str, int]], zone: Zone, day_match: DayMatch, least: int) -> Cron | Every:
    name, position = words[0][0].lower(), words[0][1]
    if name == "@every":
        if len(words) != 2:  # noqa: PLR2004
            token, at = words[2] if len(words) > 2 else words[0]  # noqa: PLR2004
            hint = "write @every and one duration, as in @every 1h30m"
            raise problem(
                "@every takes one duration", "bad_duration", field="every", token=token, position=at, hint=hint
            )
        return Every(parse_elapsed(words[1][0], position=words[1][1], least=least))
    if name not in MACROS:
        raise _unknown_macro(words[0][0], position)
    if len(words) > 1:
        token, at = words[1]
        hint = f"{name} stands alone"
        raise problem(f"{token!r} follows {name}", "field_count", token=token, position=at, hint=hint)
    # A macro means the same in both dialects; its text is standard.
    return _fields([(word, position) for word in MACROS[name].split()], zone, "standard", day_match)


def _unknown_macro(token: str, position: int) -> InvalidValue:
    name = token.lower()
    if name == "@reboot":
        hint = "a schedule has no boot to wait for; enqueue the task when your program starts"
        return problem("@reboot is not supported", "unsupported_macro", token=token, position=position, hint=hint)
    near = get_close_matches(name, [*MACROS, "@every"], n=1)
    hint = f"did you mean {near[0]}?" if near else f"macros are {', '.join(MACROS)} and @every"
    return problem(f"{token!r} is unknown", "unknown_macro", token=token, position=position, hint=hint)


def _fields(words: list[tuple[str, int]], zone: Zone, dialect: Dialect, day_match: DayMatch) -> Cron:
    if words[0][0][:1] in "Rr" and "/" in words[0][0]:
        token, at = words[0]
        raise problem("this is an ISO 8601 repeat", "iso_repeat", token=token, position=at, hint="give it as `repeat`")
    least = 6 if dialect == "quartz" else 5
    if not least <= len(words) <= len(FIELDS):
        raise _wrong_count(words, least)
    if len(words) == 6 and words[5][0].isdigit() and YEAR.low <= int(words[5][0][:5]) <= YEAR.high:  # noqa: PLR2004
        raise Part(WEEKDAY, *words[5]).wrong(f"{words[5][0]} is out of range", "out_of_range", YEAR_IN_WEEKDAY)
    if len(words) == 5:  # noqa: PLR2004
        words = [("0", words[0][1]), *words]
    parts = [Part(field, token.upper(), at) for field, (token, at) in zip(FIELDS, words, strict=False)]
    by_field = {part.field: part for part in parts}
    if dialect == "quartz":
        _check_question_marks(by_field[DAY], by_field[WEEKDAY])
    masks = {part.field: parse_mask(part, dialect) for part in parts if part.field not in (DAY, WEEKDAY)}
    month_days = parse_month_days(by_field[DAY], dialect)
    week_days = parse_week_days(by_field[WEEKDAY], dialect)
    years = by_field.get(YEAR)
    endless = years is None or not {"*", "*/1"}.isdisjoint(years.text.split(","))
    return Cron(
        seconds=masks[SECOND],
        minutes=masks[MINUTE],
        hours=masks[HOUR],
        days=combine(month_days, week_days, day_match),
        months=masks[MONTH],
        years=None if endless else masks[YEAR],
        zone=zone,
        fixed=not (by_field[MINUTE].text.startswith("*") or by_field[HOUR].text.startswith("*")),
        normal=" ".join(part.text for part in parts if part.text != "*" or part.field is not YEAR),
    )


def _check_question_marks(days: Part, weekdays: Part) -> None:
    if (days.text == "?") == (weekdays.text == "?"):
        raise weekdays.wrong("one of the two day fields must be '?'", "question_marks", _QUARTZ_HINT)


def _wrong_count(words: list[tuple[str, int]], least: int) -> InvalidValue:
    token, at = words[len(FIELDS)] if len(words) > len(FIELDS) else words[-1]
    shape = "minute hour day month weekday, with seconds before them and a year after them if wanted"
    if least > 5:  # noqa: PLR2004
        shape = "second minute hour day month weekday [year]"
    what = f"{len(words)} field{'s' if len(words) != 1 else ''} where {least} to {len(FIELDS)} are wanted"
    return problem(what, "field_count", token=token, position=at, hint=shape)
