"""English words for schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from angelica.domain.cron.outline import Outline, Pace, Runs, clock, rhythm_of

MONTHS: Final = (
    "", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
ORDINALS: Final = ("", "first", "second", "third", "fourth", "fifth")


def sentence(plan: Outline) -> str:
    """Return an expression in words, such as `Every day at 02:00`."""
    days = _days(plan)
    limits = _limits(plan)
    if plan.times:
        times = join([clock(time) for time in plan.times])
        where = days or ("every day" if not limits else f"every day{limits}")
        return _capital(f"{where}{limits if days else ''} at {times}")
    return _capital(_rhythm(plan) + (f", {days}" if days else "") + (f",{limits}" if limits else ""))


def interval(amounts: Sequence[tuple[str, int]]) -> str:
    """Return an interval in words, such as `Every 1 hour 30 minutes`."""
    return f"Every {_amounts(amounts)}"


def repeat(count: int | None, amounts: Sequence[tuple[str, int]], start: str) -> str:
    """Return a repeat in words."""
    times = "" if count is None else f", {count} time{'s' if count != 1 else ''} in all"
    return f"Every {_amounts(amounts)} from {start}{times}"


def once(moment: str) -> str:
    """Return a single moment in words."""
    return f"Once, at {moment}"


def join(parts: Sequence[str], last: str = "and") -> str:
    """Return `a, b and c`."""
    return f" {last} ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def ordinal(number: int) -> str:
    """Return the number as `1st`, `2nd`, `11th` and so on."""
    teens = number % 100 in {11, 12, 13}
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def runs(values: Runs, word: Callable[[int], str] = str) -> list[str]:
    """Return each run as `a` or `a to b`; a long rhythm as its first three and its last."""
    if rhythm_of(values):
        return [word(values[0][0]), word(values[1][0]), f"{word(values[2][0])} … {word(values[-1][0])}"]
    return [word(a) if a == b else f"{word(a)} to {word(b)}" for a, b in values]


def in_month(plan: Outline, of: str = "the month") -> str:
    """Return the days of the month, such as `day 1 and 15 and the last day of the month`."""
    parts = [f"day {join(runs(plan.days))}"] if plan.days else []
    parts += [f"the weekday nearest to day {day}" for day in plan.nearest]
    parts += [_from_end(back) for back in plan.back]
    parts += [
        "the last weekday (Monday to Friday)" if not back else f"the weekday nearest to {_from_end(back)}"
        for back in plan.nearest_back
    ]
    return f"{join(parts)} of {of}"


def in_week(plan: Outline, of: str = "the month") -> str:
    """Return the days of the week, such as `Monday to Friday` or `the last Friday of the month`."""
    parts = runs(plan.weekdays, lambda day: DAYS[day])
    counted = [f"the {ORDINALS[n]} {DAYS[day]}" for n, day in plan.nth] + [f"the last {DAYS[day]}" for day in plan.last]
    return join(parts + counted) + (f" of {of}" if counted else "")


def _days(plan: Outline) -> str:
    if plan.any_day:
        return ""
    if plan.in_month and plan.in_week:
        link = "or on" if plan.either else "if it is"
        return f"on {in_month(plan)} {link} {in_week(plan)}"
    return f"on {in_month(plan, _of(plan))}" if plan.in_month else f"on {in_week(plan, _of(plan))}"


def _of(plan: Outline) -> str:
    return join(runs(plan.months, lambda month: MONTHS[month])) if plan.months else "the month"


def _limits(plan: Outline) -> str:
    said = plan.in_month != plan.in_week and (plan.in_month or plan.nth or plan.last)  # "… of January" says it
    parts = [f" in {_of(plan)}"] if plan.months and not said else []
    if plan.years:
        parts.append(f" in {join(runs(plan.years))}")
    return ",".join(parts)


def _rhythm(plan: Outline) -> str:
    second, minute, hour = plan.second, plan.minute, plan.hour
    on_zero = second.single and not second.first
    if not on_zero:
        within = [_within("minute", minute), _hours(hour)]
        return ", ".join([_pace("second", second), *(part for part in within if part)])
    if minute.all or minute.step:
        return ", ".join(part for part in (_pace("minute", minute), _hours(hour)) if part)
    if hour.all or hour.step:
        past = "" if minute.single and not minute.first else f" at {_values('minute', minute.runs)}"
        return _pace("hour", hour) + past
    if minute.single and len(hour.runs) == 1:
        (first, last), past_hour = hour.runs[0], minute.first * 60
        return f"every hour from {clock(first * 3600 + past_hour)} to {clock(last * 3600 + past_hour)}"
    return f"at {_values('minute', minute.runs)}, {_hours(hour)}"


def _pace(unit: str, pace: Pace) -> str:
    if pace.all:
        return f"every {unit}"
    if pace.step:
        return f"every {pace.step} {unit}s" + (f" from {unit} {pace.first}" if pace.first else "")
    return f"at {_values(unit, pace.runs)}"


def _within(unit: str, pace: Pace) -> str:
    if pace.all:
        return ""
    if pace.step:
        return f"in every {ordinal(pace.step)} {unit}" + (f" from {unit} {pace.first}" if pace.first else "")
    return f"in {_values(unit, pace.runs)}"


def _hours(pace: Pace) -> str:
    if pace.all:
        return ""
    if pace.step:
        every = f"every {ordinal(pace.step)} hour" + (f" from {pace.first:02}:00" if pace.first else "")
        return f"in {every}"
    return join([f"from {a:02}:00 to {b:02}:59" for a, b in pace.runs])


def _values(unit: str, values: Runs) -> str:
    return f"{unit} {join(runs(values))}"


def _from_end(back: int) -> str:
    return "the last day" if not back else f"the {ordinal(back + 1)}-to-last day"


def _amounts(amounts: Iterable[tuple[str, int]]) -> str:
    return " ".join(f"{count} {unit}{'s' if count != 1 else ''}" for unit, count in amounts)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
