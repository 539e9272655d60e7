"""A second, slow evaluator to compare with: it walks naive local times and asks `zoneinfo` about each.

It shares no code with the evaluator: expressions are made here together with their meaning, so that nothing is
parsed; days are found by looking at each; gaps and repeats come from `fold` and from converting there and back.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from random import Random
from zoneinfo import ZoneInfo, _zoneinfo, available_timezones

from angelica.domain.cron.zones import EPOCH

# Names that stand for no place are refused.
ZONES = sorted(available_timezones() - {"CET", "EET", "EST", "HST", "MET", "MST", "WET", "Factory", "localtime"})
HOUR = timedelta(hours=1)
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


@cache
def changes(name: str) -> tuple[int, ...]:
    """Return the moments of 1970 to 2036 at which the zone's offset changes, as the pure-Python reader has them."""
    zone = _zoneinfo.ZoneInfo(name)
    begin, end = (seconds(datetime(year, 1, 3, tzinfo=UTC)) for year in (1970, 2037))
    return tuple(at for at in zone._trans_utc if begin <= at < end and offset(zone, at - 1) != offset(zone, at))


@cache
def distinct_zones() -> tuple[str, ...]:
    """Return one name for each set of zones that have the same changes to the same offsets."""
    found = {}
    for name in ZONES:
        zone = ZoneInfo(name)
        found.setdefault((changes(name), *(offset(zone, at) for at in (0, *changes(name)))), name)
    return tuple(found.values())


def offset(zone: tzinfo, moment: int) -> timedelta:
    return (EPOCH + timedelta(seconds=moment)).astimezone(zone).utcoffset()


@dataclass(frozen=True)
class Rule:
    """An expression and what it means; `dom` and `dow` hold (kind, …) items."""

    text: str
    seconds: frozenset
    minutes: frozenset
    hours: frozenset
    dom: tuple
    months: frozenset
    dow: tuple
    both: bool
    fixed: bool

    def on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_month = any(day.day in month_days(item, day.year, day.month) for item in self.dom)
        in_week = any(is_weekday(item, day) for item in self.dow)
        return in_month and in_week if self.both else in_month or in_week


@cache
def month_days(item, year, month):
    length = calendar.monthrange(year, month)[1]
    kind, number = item
    if kind == "day":
        return {number}
    if kind == "back":
        return {length - number}
    target = number if kind == "nearest" else length - number
    if not 1 <= target <= length:
        return set()
    weekdays = [d for d in range(1, length + 1) if date(year, month, d).weekday() < 5]
    return {min(weekdays, key=lambda d: (abs(d - target), d))}


def is_weekday(item, day):
    kind, number, n = item
    if day.isoweekday() % 7 != number:
        return False
    if kind == "nth":
        return (day.day - 1) // 7 + 1 == n
    return kind == "plain" or (day + timedelta(days=7)).month != day.month


def fires(rule: Rule, zone: ZoneInfo, start: datetime, end: datetime) -> list[int]:
    """Return the fires in [start, end), in seconds since the epoch."""
    found = set()
    around = [at.astimezone(zone).utcoffset() for at in (start - 4 * HOUR, start, end, end + 4 * HOUR)]
    # A local time, missing or not, belongs to an instant between itself less the greatest and less the least offset.
    hour = (start.replace(tzinfo=None) + min(around)).replace(minute=0, second=0, microsecond=0)
    last = end.replace(tzinfo=None) + max(around)
    on = cache(rule.on)
    while hour < last:
        if hour.hour in rule.hours and on(hour.date()):
            for minute in rule.minutes:
                for second in rule.seconds:
                    found.update(instants(hour.replace(minute=minute, second=second), zone, fixed=rule.fixed))
        hour += HOUR
    low, high = seconds(start), seconds(end)
    return sorted(moment for moment in found if low <= moment < high)


def instants(naive: datetime, zone: ZoneInfo, *, fixed: bool) -> list[int]:
    passes = []
    for fold in (0, 1):
        moment = naive.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == naive and moment not in passes:
            passes.append(moment)
    if passes:
        return [seconds(moment) for moment in (passes[:1] if fixed else passes)]
    before = naive.replace(tzinfo=zone, fold=0).utcoffset()
    after = naive.replace(tzinfo=zone, fold=1).utcoffset()
    if not fixed or after - before > 3 * HOUR:
        return []
    low = seconds(naive.replace(tzinfo=UTC) - after)
    high = seconds(naive.replace(tzinfo=UTC) - before)
    while high - low > 1:
        middle = (low + high) // 2
        if (EPOCH + timedelta(seconds=middle)).astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return [high]


def seconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(seconds=1)


def random_rule(rng: Random, *, sparse: bool = False) -> Rule:
    """Return an expression over the whole grammar; `sparse` ones seldom fire, others often at night."""
    second_text, second = ("0", {0}) if rng.random() < 0.7 else plain(rng, 0, 59, few=True)
    minute_text, minute = plain(rng, 0, 59, few=True)
    hour_text, hour = plain(rng, 0, 23 if sparse or rng.random() < 0.3 else 4, top=23)
    month_text, month = (
        ("*", set(range(1, 13))) if not sparse and rng.random() < 0.9 else plain(rng, 1, 12, names=MONTHS)
    )
    dom_text, dom = "*?"[rng.randrange(2)], [("day", d) for d in range(1, 32)]
    dow_text, dow = "*?"[rng.randrange(2)], [("plain", d, 0) for d in range(7)]
    if rng.random() < (0.7 if sparse else 0.15):
        dom_text, dom = dom_field(rng)
    if rng.random() < (0.5 if sparse else 0.15):
        dow_text, dow = dow_field(rng)
    fields = [second_text, minute_text, hour_text, dom_text, month_text, dow_text]
    if second_text == "0" and rng.random() < 0.5:
        fields = fields[1:]
    text = " ".join(fields)
    both = dom_text[0] in "*?" or dow_text[0] in "*?"
    fixed = minute_text[0] != "*" and hour_text[0] != "*"
    sets = (frozenset(second), frozenset(minute), frozenset(hour), tuple(dom), frozenset(month), tuple(dow))
    return Rule(text, *sets, both, fixed)


def plain(rng, low, high, *, top=None, names=None, few=False):
    """Return a plain field within low…high, of a field that ends at `top`, as text and values."""
    top = high if top is None else top
    kind = rng.randrange(7)
    if kind == 0 and not (few and rng.random() < 0.8):
        return "*", set(range(low, top + 1))
    if kind == 1:
        step = rng.choice([2, 3, 5, 7, 10, 15, 20, 30])
        step = min(step, top - low + 1)
        return f"*/{step}", set(range(low, top + 1, step))
    if kind == 2:
        first, step = rng.randint(low, high), rng.randint(1 + 9 * few, top - low + 1)
        return f"{first}/{step}", set(range(first, top + 1, step))
    if kind == 3:
        first, last, step = rng.randint(low, high), rng.randint(low, high), rng.randint(1, 5)
        size = top - low + 1
        values = range(first, (last if last >= first else last + size) + 1, step)
        shown = f"{named(rng, first, low, names)}-{named(rng, last, low, names)}/{step}"
        return shown, {v if v <= top else v - size for v in values}
    values = [rng.randint(low, high) for _ in range(rng.randint(1, 3))]
    return ",".join(named(rng, v, low, names) for v in values), set(values)


def named(rng, value, low, names):
    if names is None or rng.random() < 0.5:
        return str(value)
    name = names[value - low]
    return rng.choice([name, name.lower(), name.capitalize()])


def dom_field(rng):
    texts, items = [], []
    for _ in range(rng.randint(1, 3)):
        kind, number = rng.randrange(6), rng.randint(1, 31)
        if kind == 0:
            texts.append("L")
            items.append(("back", 0))
        elif kind == 1:
            back = rng.randint(1, 30)
            texts.append(f"L-{back}")
            items.append(("back", back))
        elif kind == 2:
            texts.append(f"{number}W")
            items.append(("nearest", number))
        elif kind == 3:
            back = rng.choice([0, rng.randint(1, 30)])
            texts.append(f"L-{back}W" if back else "LW")
            items.append(("nearest_back", back))
        else:
            text, values = plain(rng, 1, 31)
            texts.append(text)
            items += [("day", value) for value in values]
    return ",".join(texts), items


def dow_field(rng):
    texts, items = [], []
    for _ in range(rng.randint(1, 3)):
        kind, day = rng.randrange(4), rng.randint(0, 6)
        shown = "7" if day == 0 and rng.random() < 0.3 else named(rng, day, 0, DAYS)
        if kind == 0:
            n = rng.randint(1, 5)
            texts.append(f"{shown}#{n}")
            items.append(("nth", day, n))
        elif kind == 1:
            texts.append(f"{shown}L")
            items.append(("last", day, 0))
        else:
            text, values = plain(rng, 0, 6, names=DAYS)
            texts.append(text)
            items += [("plain", value, 0) for value in values]
    return ",".join(texts), items
