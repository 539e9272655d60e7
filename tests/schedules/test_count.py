"""Counting fires without walking them: the same number as walking, in a blink."""

from __future__ import annotations

from datetime import datetime
from random import Random

import pytest

from angelica.clock import DAY, HOUR, SECOND
from angelica.domain.cron.count import count_between
from angelica.domain.cron.evaluate import fires_between
from angelica.domain.cron.interval import Every
from angelica.domain.cron.once import Once
from angelica.domain.cron.parse import parse
from angelica.domain.cron.repeat import parse_repeat
from angelica.domain.cron.zones import HORIZON, find_zone

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "America/Santiago")
TEXTS = (
    "*/7 * * * *",
    "30 2 * * *",
    "0,30 1-3 * * *",
    "0 0 * * *",
    "17 */5 29,L,15W * 5L",
    "20 30 1,2 * 3,10 SUN",
    "0 0 12 1 1 ? 2026-2030/2",
    "*/20 5 2 * * *",
    "0 0 29 2 *",
)


def micros(text):
    return int(datetime.fromisoformat(text).timestamp()) * SECOND


def stretches(seed, longest):
    """Yield stretches of time, half of them around a change of some clocks."""
    chance = Random(seed)
    edges = [micros(f"{day}T{chance.randrange(24):02}:00:00+00:00") for day in (
        "2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-04", "2026-10-03", "2011-12-30", "2026-04-05",
    )]  # fmt: skip
    for _ in range(12):
        near = chance.choice(edges) if chance.random() < 0.5 else chance.randrange(60 * 365) * DAY
        start = near - chance.randrange(longest) + chance.choice((0, 0, 1, -1, 500_000))
        yield start, start + chance.randrange(2 * longest)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", TEXTS)
def test_an_expression_is_counted_as_it_is_walked(text, zone):
    cron = parse(text, timezone=zone)
    for start, end in stretches(f"{text}{zone}", 40 * DAY):
        walked = sum(1 for _ in fires_between(cron, start, end))
        assert count_between(cron, start, end) == walked, (start, end)


@pytest.mark.parametrize(
    "trigger",
    [
        Every(90 * SECOND, micros("2026-03-29T00:00:00+00:00")),
        Every(90 * SECOND, micros("2026-03-29T00:00:00+00:00"), skip_anchor=True),
        parse_repeat("R/2026-03-20T02:30/PT1H", timezone="Europe/Berlin"),
        parse_repeat("R30/2026-03-20T02:30/PT45M"),
        parse_repeat("R/2026-01-31T02:30/P1D", timezone="Europe/Berlin"),
        parse_repeat("R/2011-12-20T00:00/P1D", timezone="Pacific/Apia"),
        Once(micros("2026-03-29T00:00:00+00:00"), find_zone("UTC")),
    ],
)
def test_other_triggers_are_counted_as_they_are_walked(trigger):
    for start, end in stretches(repr(trigger), 3 * DAY):
        assert count_between(trigger, start, end) == sum(1 for _ in fires_between(trigger, start, end)), (start, end)


def test_bounds_are_half_open():
    cron = parse("0 * * * *")
    assert count_between(cron, 0, HOUR) == 1
    assert count_between(cron, 1, HOUR) == 0
    assert count_between(cron, 0, HOUR + 1) == 2
    assert count_between(cron, HOUR, HOUR) == 0
    assert count_between(cron, -DAY, 1) == 1


def test_ten_years_of_seconds_are_counted_without_a_walk():
    cron = parse("* * * * * *", timezone="Europe/Berlin")
    start = micros("2020-01-01T00:00:00+00:00")
    assert count_between(cron, start, start + 3653 * DAY) == 3653 * 86_400


def test_the_calendar_has_an_end():
    cron = parse("0 0 31 12 *")
    assert count_between(cron, HORIZON * SECOND - 2 * DAY, HORIZON * SECOND + 400 * DAY) == 1
