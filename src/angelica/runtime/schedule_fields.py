"""Readers of single fields of a schedule, and the texts under which their values are kept in its definition."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from angelica.clock import SECOND
from angelica.domain.cron.duration import LEAST_PERIOD, parse_every
from angelica.domain.cron.zones import EPOCH, find_zone
from angelica.domain.schedule import CatchUp, Overlap
from angelica.durations import FIRST_MOMENT, LAST_MOMENT, format_duration
from angelica.errors import InvalidValue, NotSupported
from angelica.runtime import fields

MAX_RUNS: Final = 10**9
MAX_CATCHUP: Final = 10_000
MAX_RUNNING: Final = 100_000
MAX_TEXT: Final = 512
_LOCAL: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?", re.ASCII)


def text(value: Any) -> str:
    """A text of 1 to 512 characters."""
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {fields.kind_of(value)}")  # noqa: TRY004 - one kind of error for all readers
    if not 0 < len(value) <= MAX_TEXT:
        raise ValueError(f"must be 1 to {MAX_TEXT} characters")
    return value


def zone(value: Any) -> str:
    """The name of a time zone; raises `InvalidValue` with rule `unknown_zone`."""
    return find_zone(text(value)).name


def every(value: Any) -> int:
    """An interval in microseconds: seconds, `90s`, `PT90S`, a timedelta; raises `InvalidValue` for a date part."""
    if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
        return parse_every(value)
    micros = fields.duration(value)
    if micros < LEAST_PERIOD:
        raise fields.Wrong(f"must be at least {format_duration(LEAST_PERIOD)}", "too_short")
    return micros


def when(value: Any) -> int | datetime:
    """A moment in microseconds, or a local time (no offset) whose zone is the schedule's."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return value
    if isinstance(value, str) and _LOCAL.fullmatch(value.strip()):
        try:
            return datetime.fromisoformat(value.strip().upper())
        except ValueError as error:
            raise ValueError(f"is no moment of the calendar: {error}") from None
    return fields.moment(value)


def instant(value: int | datetime, timezone: str | None) -> int:
    """Return the moment of what `when` read: in a gap of the zone its end, shown twice the first."""
    if isinstance(value, int):
        return value
    seconds, micros = divmod((value.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1), SECOND)
    place = find_zone(timezone or "UTC")
    found = place.instant(seconds)
    if found is None or not FIRST_MOMENT <= found * SECOND < LAST_MOMENT:
        raise ValueError("must lie in the years 1970 to 2199")
    moved = found + place.offset(found) != seconds
    return found * SECOND + (0 if moved else micros)


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - one kind of error for all readers
    return value


def choice(*words: str) -> Callable[[Any], str]:
    """Return a reader of one of `words`."""

    def read(value: Any) -> str:
        if value not in words or not isinstance(value, str):
            near = fields.near(value, words) if isinstance(value, str) else None
            hint = f" (did you mean {near}?)" if near else ""
            raise fields.Wrong(f"must be one of {', '.join(words)}{hint}", "choice", choices=list(words))
        return str(value)

    return read


def overlap(value: Any) -> Overlap:
    """An overlap policy."""
    return Overlap(choice(*Overlap)(value))


def catch_up(value: Any) -> CatchUp:
    """A catch-up policy."""
    return CatchUp(choice(*CatchUp)(value))


def moment_text(micros: int) -> str:
    """Return RFC 3339 in UTC, with as many digits of the second as there are."""
    return (EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


def when_text(value: int | datetime) -> str:
    """Return what `when` reads back."""
    return moment_text(value) if isinstance(value, int) else value.isoformat()


def prefixed(problem: InvalidValue, prefix: str) -> InvalidValue:
    """Return the problem of a field inside of another."""
    kind = NotSupported if isinstance(problem, NotSupported) else InvalidValue
    made = kind(prefix + problem.field, problem.problem, hint=problem.hint, rule=problem.rule)
    made.params.update(problem.params)
    return made


def merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `document` after a merge patch (RFC 7396): null removes, objects merge, all else replaces."""
    made = dict(document)
    for key, value in changes.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, Mapping):
            standing = made.get(key)
            made[key] = merged(standing if isinstance(standing, Mapping) else {}, value)
        else:
            made[key] = value
    return made
