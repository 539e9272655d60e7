"""The grammar of a plain field: lists of `*`, values, ranges and steps, as a bit mask."""

from __future__ import annotations

from typing import Literal

from angelica.domain.cron.fields import MONTH, WEEKDAY, YEAR, Field, mask_of
from angelica.domain.cron.problem import Part
from angelica.errors import InvalidValue

Dialect = Literal["standard", "quartz"]

YEAR_IN_WEEKDAY = "6 fields end with the day of week; for a year put seconds first and use 7"
_LONGEST_NUMBER = 6


def parse_mask(part: Part, dialect: Dialect) -> int:
    """Return the values that a plain list matches; the year's mask counts from 1970."""
    mask = 0
    for item in part.split():
        mask |= parse_item(item, dialect)
    return mask


def parse_item(item: Part, dialect: Dialect) -> int:
    """Return the values of `*`, a value or a range, each with or without a step."""
    field = item.field
    if not item.text:
        raise item.wrong("an entry is missing", "bad_value", "a list is entries with one comma between two of them")
    body, slash, step_text = item.text.partition("/")
    step = _step(item, body, step_text, dialect) if slash else 1
    if body == "*":
        return _progression(field, field.low, field.high, step)
    if not body:
        raise item.wrong(f"{item.text!r} has no start", "bad_step", f"write */{step_text}")
    first_text, dash, last_text = body.partition("-")
    first = value(item, first_text, dialect)
    last = value(item, last_text, dialect) if dash else (field.high if slash else first)
    if field is WEEKDAY:
        first, last = _sundays(first, last)
    if first > last and field is YEAR:
        raise item.wrong(f"{body!r} runs backwards", "bad_range", f"write {last_text}-{first_text}")
    return _progression(field, first, last, step)


def _sundays(first: int, last: int) -> tuple[int, int]:
    """Read 7 as Sunday: as a start it is 0, as an end the Sunday after Saturday, and `7-7` or a lone 7 is one day."""
    if first == last:
        return first % 7, last % 7
    return first % 7, last


def _progression(field: Field, first: int, last: int, step: int) -> int:
    """Return the mask of first, first + step … last; a range that ends before it starts wraps round."""
    size = field.size
    end = last if last >= first else last + size
    base = YEAR.low if field is YEAR else 0
    return mask_of((v if v <= field.high else v - size) - base for v in range(first, end + 1, step))


def value(item: Part, text: str, dialect: Dialect) -> int:
    """Return the number of one value: digits or a three-letter name. In the standard dialect Sunday may come as 7."""
    field = item.field
    if text.isdigit():
        number = int(text) if len(text) <= _LONGEST_NUMBER else 10**_LONGEST_NUMBER
        if field is WEEKDAY:
            return _weekday(item, text, number, dialect)
        if not field.low <= number <= field.high:
            raise item.wrong(f"{text} is out of range", "out_of_range", "")
        return number
    if text in field.names:
        return field.names.index(text) + field.low
    raise _bad_value(item, text)


def _weekday(item: Part, text: str, number: int, dialect: Dialect) -> int:
    if dialect == "quartz":
        if not 1 <= number <= WEEKDAY.size:
            hint = "in the quartz dialect values are 1-7 (1 is Sunday) or SUN-SAT"
            raise item.wrong(f"{text} is out of range", "out_of_range", hint)
        return number - 1
    if number > WEEKDAY.size:
        hint = YEAR_IN_WEEKDAY if YEAR.low <= number <= YEAR.high else ""
        raise item.wrong(f"{text} is out of range", "out_of_range", hint)
    return number


def _step(item: Part, body: str, text: str, dialect: Dialect) -> int:
    field = item.field
    if not text.isdigit():
        raise item.wrong(f"the step {text!r} is not a number", "bad_step", f"write {body or '*'}/N with N from 1")
    step = int(text) if len(text) <= _LONGEST_NUMBER else 10**_LONGEST_NUMBER
    if step == 0:
        raise item.wrong("a step of 0", "bad_step", "a step is 1 or more")
    most = field.size - 1 if dialect == "quartz" else field.size
    if step > most:
        hint = f"use @every {text}{field.unit}" if field.unit else f"a step is at most {most}"
        if field is MONTH:
            hint = f"use a repeat, R/<start>/P{text}M"
        raise item.wrong(f"step {text} is larger than the {field.label} field", "step_too_large", hint)
    return step


def _bad_value(item: Part, text: str) -> InvalidValue:
    field = item.field
    if "?" in text:
        return item.wrong("'?' is out of place", "misplaced", "'?' stands alone, in a day field")
    if not text:
        return item.wrong(f"{item.text!r} is incomplete", "bad_range", "a range is START-END")
    if "*" in text:
        return item.wrong(f"{text!r} is not a value", "bad_value", "'*' stands alone or before a step, as in */5")
    if field.names and len(text) > 3 and text[:3] in field.names and text.isalpha():  # noqa: PLR2004
        return item.wrong(f"{text!r} is not a name", "bad_value", f"use {text[:3]}")
    if "#" in text:
        return item.wrong(f"{text!r} is not a value", "misplaced", "'#' belongs to the day of week, as in MON#2")
    if text in {"L", "W", "LW"} or (text[:-1].isdigit() and text[-1] in "LW"):
        return item.wrong(f"{text!r} is not a value", "misplaced", "L and W belong to the day fields")
    return item.wrong(f"{text!r} is not a value", "bad_value", "")
