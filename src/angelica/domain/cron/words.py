"""Descriptions of triggers, in English and Chinese."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from angelica.clock import SECOND
from angelica.domain.cron import chinese, english
from angelica.domain.cron.evaluate import Trigger
from angelica.domain.cron.expression import Cron
from angelica.domain.cron.interval import Every
from angelica.domain.cron.once import Once
from angelica.domain.cron.outline import outline, to_params
from angelica.domain.cron.zones import EPOCH

UNITS: Final = (
    ("week", 604_800_000_000),
    ("day", 86_400_000_000),
    ("hour", 3_600_000_000),
    ("minute", 60_000_000),
    ("second", 1_000_000),
    ("millisecond", 1_000),
    ("microsecond", 1),
)


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence as a code with JSON parameters, and as English and Chinese text."""

    code: str
    params: dict[str, Any]
    en: str
    zh: str


def describe(trigger: Trigger) -> Words:
    """Return what `trigger` does in words; the zone is in the parameters, not in the texts."""
    if isinstance(trigger, Cron):
        plan = outline(trigger)
        params = to_params(plan) | {"timezone": trigger.zone.name}
        return Words(plan.code, params, english.sentence(plan), chinese.sentence(plan))
    if isinstance(trigger, Every):
        amounts = split_elapsed(trigger.period)
        return Words("interval", {"microseconds": trigger.period}, english.interval(amounts), chinese.interval(amounts))
    if isinstance(trigger, Once):
        shown = _shown(trigger.moment + trigger.zone.offset(trigger.moment // SECOND) * SECOND)
        params = {"at": shown, "timezone": trigger.zone.name}
        return Words("once", params, english.once(shown), chinese.once(shown))
    step = trigger.step
    dated = [("year", step.months // 12), ("month", step.months % 12), ("day", step.days)]
    amounts = [(unit, n) for unit, n in dated if n] + split_elapsed(step.elapsed)
    shown = _shown(trigger.local)
    params = {
        "count": trigger.count,
        "months": step.months,
        "days": step.days,
        "microseconds": step.elapsed,
        "start": shown,
        "timezone": trigger.zone.name,
    }
    en = english.repeat(trigger.count, amounts, shown)
    return Words("repeat", params, en, chinese.repeat(trigger.count, amounts, shown))


def _shown(local: int) -> str:
    when = EPOCH + timedelta(microseconds=local)
    return when.strftime("%Y-%m-%d %H:%M") + (when.strftime(":%S") if when.second else "")


def split_elapsed(micros: int) -> list[tuple[str, int]]:
    """Return a duration as amounts of units, the largest first, without those that are 0."""
    amounts = []
    for unit, size in UNITS:
        count, micros = divmod(micros, size)
        if count:
            amounts.append((unit, count))
    return amounts
