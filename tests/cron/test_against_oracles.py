"""The evaluator against a brute-force walker in every zone, and against cronsim for five fields."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import SECOND
from angelica.domain.cron.evaluate import fires_between, next_after, previous_before, upcoming
from angelica.domain.cron.parse import parse
from angelica.domain.cron.zones import EPOCH, find_zone
from angelica.errors import InvalidValue
from tests.cron.oracle import ZONES, changes, distinct_zones, fires, random_rule, seconds

DEEP = 10 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 1
CHANGING = (
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago", "Africa/Casablanca",
    "Pacific/Apia", "Asia/Kathmandu", "America/Sao_Paulo", "Asia/Beirut", "Antarctica/Troll", "America/Havana",
)  # fmt: skip


def compare(rule, name, start, end):
    """Hold next and previous against the walker in [start, end)."""
    trigger = parse(rule.text, timezone=name)
    assert trigger.fixed == rule.fixed
    expected = [moment * SECOND for moment in fires(rule, ZoneInfo(name), start, end)]
    low, high = seconds(start) * SECOND, seconds(end) * SECOND
    assert list(fires_between(trigger, low, high)) == expected, (rule.text, name, start)
    backwards = []
    moment = high
    while (moment := previous_before(trigger, moment)) is not None and moment >= low:
        backwards.append(moment)
    assert backwards[::-1] == expected, (rule.text, name, start)
    return len(expected)


@pytest.mark.slow
def test_twenty_thousand_random_cases_near_changes_of_the_clocks():
    rng = Random(20_260_329)
    known = {name: changes(name) for name in distinct_zones() if changes(name)}
    names = sorted(known)
    known |= {name: changes(name) for name in CHANGING}
    total = 0
    for case in range(20_000 * DEEP):
        name = rng.choice(CHANGING) if case % 2 else rng.choice(names)
        change = EPOCH + timedelta(seconds=rng.choice(known[name]))
        around = timedelta(minutes=rng.choice([40, 70, 190]))
        total += compare(random_rule(rng), name, change - around, change + around)
    assert total > 20_000 * DEEP


@given(st.integers(0, 2**32), st.sampled_from(ZONES), st.integers(1970, 2100), st.integers(0, 365 * 24))
def test_any_zone_in_any_year(seed, name, year, hour):
    start = datetime(year, 1, 2, tzinfo=UTC) + timedelta(hours=hour)
    compare(random_rule(Random(seed)), name, start, start + timedelta(hours=30))


@given(st.integers(0, 2**32), st.sampled_from(CHANGING), st.integers(1970, 2100))
def test_sparse_expressions_through_months(seed, name, year):
    start = datetime(year, 2, 1, tzinfo=UTC)
    compare(random_rule(Random(seed), sparse=True), name, start, start + timedelta(days=62))


@given(st.integers(0, 2**32), st.sampled_from(CHANGING), st.integers(0, 4_102_444_800 * SECOND), st.integers(0, 10**12))
def test_next_is_later_monotone_and_undone_by_previous(seed, name, moment, further):
    trigger = parse(random_rule(Random(seed), sparse=seed % 2 == 0).text, timezone=name)
    found = next_after(trigger, moment)
    if found is None:
        assert not trigger.possible
        return
    assert found > moment
    assert next_after(trigger, found - 1) == found
    assert next_after(trigger, moment + further) >= found
    before = previous_before(trigger, found)
    assert before is None or before <= moment
    assert previous_before(trigger, next_after(trigger, found)) == found


def cronsim_fires(text, name, start, count):
    """Return cronsim's fires; those that it gives twice (several missing times of one gap) once."""
    found = []
    for when in islice(CronSim(text, start.astimezone(ZoneInfo(name))), count):
        moment = seconds(when.astimezone(UTC)) * SECOND
        if moment not in found:
            found.append(moment)
    return found


def common_field(rng, low, high, star):
    """Return a field of the grammar that both sides have: no wrapping, no open start."""
    if rng.random() < star:
        return "*"
    kind = rng.randrange(4)
    if kind == 0:
        return f"*/{rng.randint(1, high - low)}"
    if kind == 1:
        return ",".join(str(rng.randint(low, high)) for _ in range(rng.randint(1, 3)))
    first, last = sorted((rng.randint(low, high), rng.randint(low, high)))
    return f"{first}-{last}/{rng.randint(1, 5)}" if first < last else str(first)


def test_cronsim_agrees_on_five_fields():
    rng = Random(7)
    # Lord Howe and zones that change at midnight are where cronsim is at fault; see below.
    names = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Africa/Casablanca", "Australia/Sydney"]
    compared = 0
    for _ in range(3_000 * DEEP):
        weekday = rng.choice([common_field(rng, 0, 6, 0.7), "*", f"{rng.randint(0, 7)}#{rng.randint(1, 5)}", "5L"])
        day = rng.choice([common_field(rng, 1, 28, 0.6), "*", "L", "LW"])
        times = f"{common_field(rng, 0, 59, 0.2)} {common_field(rng, 0, 23, 0.3)}"
        text = f"{times} {day} {common_field(rng, 1, 12, 0.8)} {weekday}"
        name = rng.choice(names)
        start = datetime(rng.randint(1970, 2090), rng.choice([2, 3, 4, 9, 10, 11]), rng.randint(1, 28), 12, tzinfo=UTC)
        expected = cronsim_fires(text, name, start, 12)
        compared += len(expected)
        assert upcoming(parse(text, timezone=name), seconds(start) * SECOND, len(expected)) == expected, (text, name)
    assert compared > 20_000


CRONSIM_FAULTS = [
    # It steps local time by whole hours, so that a change of half an hour shifts its minutes …
    (
        "*/25 23 * * *",
        "Australia/Lord_Howe",
        "1986-03-15T13:00+00:00",
        "1986-03-16T23:00+10:30",
        "1986-03-16T23:50+10:30",
    ),
    # … and takes the missing midnight of a day for its first hour, which need not match.
    (
        "*/22 */21 LW * 7#5",
        "Africa/Cairo",
        "2032-04-03T12:00+00:00",
        "2032-04-30T21:00+03:00",
        "2032-04-30T01:00+03:00",
    ),
    # It makes good any gap, be it a whole day.
    ("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00+00:00", "2012-12-30T12:00+14:00", "2011-12-31T00:00+14:00"),
    # Its rule for fixed times holds for five fields only.
    ("0 30 2 * * *", "Europe/Berlin", "2026-03-28T12:00+00:00", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"),
    # It takes the second 7 for another day than the first 0, and runs on past Saturday.
    ("0 0 * * 5/2", "UTC", "2026-03-07T12:00+00:00", "2026-03-13T00:00+00:00", "2026-03-08T00:00+00:00"),
]


@pytest.mark.parametrize(("text", "name", "start", "ours", "theirs"), CRONSIM_FAULTS)
def test_where_cronsim_differs(text, name, start, ours, theirs):
    begin, mine, other = (datetime.fromisoformat(moment) for moment in (start, ours, theirs))
    assert next_after(parse(text, timezone=name), seconds(begin) * SECOND) == seconds(mine) * SECOND
    assert cronsim_fires(text, name, begin, 1) == [seconds(other) * SECOND]


def test_cronsim_takes_a_step_beyond_its_field_silently():
    hourly = cronsim_fires("*/90 * * * *", "UTC", EPOCH, 2)
    assert hourly == [3600 * SECOND, 7200 * SECOND]
    with pytest.raises(InvalidValue, match="use @every 90m"):
        parse("*/90 * * * *")


@pytest.mark.slow
def test_segments_of_every_zone_are_those_of_its_file():
    for name in distinct_zones():
        zone, expected = find_zone(name), list(changes(name))
        assert all(later - earlier > 6 * 86_400 for earlier, later in pairwise(expected)), name
        if zone.constant is not None:
            assert not expected
            continue
        found, moment = [], seconds(datetime(1970, 1, 3, tzinfo=UTC))
        end = seconds(datetime(2037, 1, 3, tzinfo=UTC))
        segment = zone.segment(moment)
        while segment.end < end:
            following = zone.segment(segment.end)
            assert following.start == segment.end
            if following.offset != segment.offset:
                found.append(following.start)
            segment = following
        assert found == expected, name
