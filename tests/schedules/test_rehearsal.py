"""A year of schedules in ten zones, with every change of their clocks, passes at odd moments and downtimes between."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest

from angelica.clock import DAY, HOUR, MINUTE, SECOND
from angelica.domain.cron.evaluate import fires_between
from angelica.domain.cron.parse import parse
from angelica.domain.fire import fire
from angelica.domain.schedule import CatchUp, Overlap, Phase, TriggerSpec, Unfinished
from tests.schedules.house import applied, at, micros, schedule

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Santiago",
    "Asia/Shanghai",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Chatham",
)
TEXTS = ("30 2 * * *", "15 1 * * *", "*/40 * * * *", "0 */6 * * *", "0 0 * * *", "45 23 L * *", "30 2 * * SUN")
BEGIN, END = micros("2026-01-01T00:00:00+00:00"), micros("2027-01-01T00:00:00+00:00")
NOBODY = Unfinished()


def lived(due, chance, until=END):
    """Play passes at the next fire, now and then after a downtime; return what ran and what was skipped."""
    ran, skipped = [], []
    while due.next_fire_at is not None and due.next_fire_at < until:
        pause = chance.randrange(9 * SECOND) if chance.random() < 0.98 else chance.randrange(3 * DAY)
        wall = min(due.next_fire_at + pause, until - 1)
        firing = fire(due, now=at(wall), unfinished=NOBODY)
        ran += [run.fire_time for run in firing.fires]
        skipped += firing.skipped
        due = applied(due, firing)
    return due, ran, skipped


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", TEXTS)
def test_a_year_decides_each_instant_once(text, zone):
    due = schedule(TriggerSpec(cron=text, timezone=zone), created=BEGIN, overlap=Overlap.ALLOW)
    due, ran, skipped = lived(due, Random(f"{text}{zone}"))
    promised = list(fires_between(parse(text, timezone=zone), BEGIN + 1, END))
    decided = sorted(ran + [m for span in skipped for m in promised if span.first <= m <= span.last])
    assert decided == promised
    assert len(ran) == len(set(ran)) == due.runs
    assert sum(span.count for span in skipped) == len(promised) - len(ran)
    assert due.phase is Phase.ACTIVE


@pytest.mark.parametrize("zone", ZONES)
def test_a_daily_run_comes_once_on_each_local_day_of_the_year(zone):
    for text in ("30 2 * * *", "0 0 * * *", "15 1 * * *"):
        due = schedule(
            TriggerSpec(cron=text, timezone=zone), created=BEGIN - 1, catch_up=CatchUp.ALL, overlap=Overlap.ALLOW
        )
        _, ran, skipped = lived(due, Random(zone))
        days = [datetime.fromtimestamp(moment // SECOND, ZoneInfo(zone)).date() for moment in ran]
        assert skipped == []
        assert days == [days[0] + timedelta(days=n) for n in range(len(days))]
        assert len(days) == 365


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe"])
def test_a_quarter_hourly_run_follows_real_time(zone):
    due = schedule(
        TriggerSpec(cron="*/15 * * * *", timezone=zone),
        created=BEGIN,
        catch_up=CatchUp.ALL,
        overlap=Overlap.ALLOW,
        max_catchup=400,
    )
    _, ran, _ = lived(due, Random(zone))
    assert {later - earlier for earlier, later in pairwise(ran)} == {15 * MINUTE}


# What each change of the clocks does to a run at a fixed local time (UTC instants).
VECTORS = [
    ("30 2 * * *", "Europe/Berlin", "2026-03-29", ["2026-03-29T01:00"]),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25", ["2026-10-25T00:30"]),
    ("30 1 * * *", "Europe/London", "2026-03-29", ["2026-03-29T01:00"]),
    ("30 1 * * *", "Europe/London", "2026-10-25", ["2026-10-25T00:30"]),
    ("30 2 * * *", "America/New_York", "2026-03-08", ["2026-03-08T07:00"]),
    ("30 1 * * *", "America/New_York", "2026-11-01", ["2026-11-01T05:30"]),
    ("0 0 * * *", "America/Santiago", "2026-09-06", ["2026-09-06T04:00"]),
    ("30 23 * * *", "America/Santiago", "2026-04-05", ["2026-04-05T02:30"]),
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03", ["2026-10-03T15:30"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04", ["2026-04-04T14:45"]),
    ("0 2-3 * * *", "Pacific/Chatham", "2026-09-26", ["2026-09-26T13:15", "2026-09-26T14:00"]),
    ("30 2 * * *", "Asia/Shanghai", "2026-03-29", ["2026-03-28T18:30"]),
]


@pytest.mark.parametrize(("text", "zone", "day", "instants"), VECTORS)
def test_changes_of_the_clocks(text, zone, day, instants):
    wanted = [micros(f"{instant}:00+00:00") for instant in instants]
    middle = wanted[0]
    due = schedule(TriggerSpec(cron=text, timezone=zone), created=middle - 6 * HOUR, catch_up=CatchUp.ALL)
    ran = []
    while due.next_fire_at is not None and due.next_fire_at < middle + 6 * HOUR:
        firing = fire(due, now=at(due.next_fire_at), unfinished=NOBODY)
        ran += [run.fire_time for run in firing.fires]
        due = applied(due, firing)
    assert [moment for moment in ran if abs(moment - middle) < 6 * HOUR] == wanted, day


def test_a_downtime_over_a_change_of_the_clocks_misses_what_the_zone_shows():
    def missed(text, created, wall):
        due = schedule(TriggerSpec(cron=text, timezone="Europe/Berlin"), created=micros(created), catch_up=CatchUp.SKIP)
        firing = fire(due, now=at(micros(wall)), unfinished=NOBODY)
        return sum(span.count for span in firing.skipped)

    assert missed("*/15 * * * *", "2026-03-28T23:59:00+01:00", "2026-03-29T23:59:00+02:00") == 23 * 4
    assert missed("*/15 * * * *", "2026-10-24T23:59:00+02:00", "2026-10-25T23:59:00+01:00") == 25 * 4
    assert missed("0 * * * *", "2026-03-28T23:59:00+01:00", "2026-03-29T23:59:00+02:00") == 23
    assert missed("30 2 * * *", "2026-03-28T23:59:00+01:00", "2026-03-29T23:59:00+02:00") == 1
    assert missed("30 2 * * *", "2026-10-24T23:59:00+02:00", "2026-10-25T23:59:00+01:00") == 1
