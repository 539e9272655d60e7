"""Intervals on their grid, ISO 8601 repeats, and durations."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import DAY, HOUR, MINUTE, SECOND
from angelica.domain.cron.duration import Duration, parse_every, parse_iso
from angelica.domain.cron.evaluate import first_fire, next_after, previous_before, upcoming
from angelica.domain.cron.interval import Every
from angelica.domain.cron.repeat import parse_repeat
from angelica.domain.cron.zones import EPOCH
from angelica.errors import InvalidValue


def micros(text):
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def shown(text, count=4, zone="UTC", start="1970-01-01T00:00Z"):
    repeat = parse_repeat(text, timezone=zone)
    found = upcoming(repeat, micros(start), count)
    return [(EPOCH + timedelta(microseconds=at)).astimezone(repeat.zone.tz).isoformat("T", "minutes") for at in found]


def test_every_keeps_its_grid():
    every = Every(90 * SECOND, anchor=1_000 * SECOND)
    assert next_after(every, 0) == 1_000 * SECOND
    assert next_after(every, 1_000 * SECOND) == 1_090 * SECOND
    assert previous_before(every, 1_000 * SECOND) is None
    assert previous_before(every, 1_000 * SECOND + 1) == 1_000 * SECOND
    later = Every(90 * SECOND, anchor=1_000 * SECOND, skip_anchor=True)
    assert next_after(later, 0) == 1_090 * SECOND
    assert previous_before(later, 1_090 * SECOND) is None
    assert previous_before(later, 2_000 * SECOND) == 1_990 * SECOND


@given(st.integers(1, 10**12), st.integers(0, 10**16), st.integers(0, 10**16))
def test_every_is_arithmetic(period, anchor, moment):
    every = Every(period, anchor)
    found = next_after(every, moment)
    assert found > moment
    assert (found - anchor) % period == 0
    assert found - moment <= period or found == anchor
    assert previous_before(every, found + period) == found


@pytest.mark.parametrize(
    ("text", "days", "hours"),
    [
        ("R5/2026-01-31T09:00/P1M", "2026-01-31 2026-02-28 2026-03-31 2026-04-30", "09 09 09 09"),
        ("R/2024-02-29/P1Y", "2024-02-29 2025-02-28 2026-02-28 2027-02-28", "00 00 00 00"),
        ("R-1/2026-01-01T00:00Z/P1W", "2026-01-01 2026-01-08 2026-01-15 2026-01-22", "00 00 00 00"),
        ("r/2026-01-30/p1m1dt1h", "2026-01-30 2026-03-01 2026-04-01 2026-05-03", "00 01 02 03"),
    ],
)
def test_calendar_time_never_drifts(text, days, hours):
    expected = [f"{day}T{hour}:00+00:00" for day, hour in zip(days.split(), hours.split(), strict=True)]
    assert shown(text) == expected


def test_date_parts_follow_the_clocks_and_time_parts_do_not():
    assert shown("R/2026-03-28T12:00/P1D", 2, "Europe/Berlin") == ["2026-03-28T12:00+01:00", "2026-03-29T12:00+02:00"]
    assert shown("R/2026-03-28T12:00/PT24H", 2, "Europe/Berlin") == ["2026-03-28T12:00+01:00", "2026-03-29T13:00+02:00"]


def test_a_start_in_a_gap_or_shown_twice():
    assert shown("R/2026-03-29T02:30/P1D", 2, "Europe/Berlin") == ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]
    assert shown("R/2026-03-28T02:30/P1D", 3, "Europe/Berlin")[1:] == [
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:30+02:00",
    ]
    assert shown("R/2026-10-25T02:30/P1D", 1, "Europe/Berlin") == ["2026-10-25T02:30+02:00"]
    assert shown("R/2026-10-25T02:30+01:00/P1D", 2, "Europe/Berlin") == [
        "2026-10-25T02:30+01:00",
        "2026-10-26T02:30+01:00",
    ]
    assert parse_repeat("R/2026-03-29T02:30:00.5/P1D", timezone="Europe/Berlin").start == micros("2026-03-29T01:00Z")


def test_count_and_end():
    repeat = parse_repeat("R3/2026-01-01T00:00Z/2026-01-01T01:00Z")
    start = micros("2026-01-01T00:00Z")
    assert upcoming(repeat, start - 1, 9) == [start, start + HOUR, start + 2 * HOUR]
    assert next_after(repeat, start + 2 * HOUR) is None
    assert previous_before(repeat, start) is None
    assert previous_before(repeat, 10**17) == start + 2 * HOUR
    with pytest.raises(InvalidValue, match="its last fire has passed") as caught:
        first_fire(repeat, start + 2 * HOUR, pointer="/repeat")
    assert caught.value.field == "/repeat"


def test_a_repeat_ends_with_the_calendar():
    repeat = parse_repeat("R/9990-05-01/P1Y")
    assert len(upcoming(repeat, 0, 50)) == 9
    assert upcoming(parse_repeat("R/9998-12-30/P1D"), 0, 50) == [
        micros("9998-12-30T00:00Z"),
        micros("9998-12-31T00:00Z"),
    ]
    assert len(upcoming(parse_repeat("R/9998-12-31T22:00Z/PT1H"), 0, 50)) == 2


@given(
    st.dates(date(1971, 1, 1), date(2090, 1, 1)),
    st.integers(0, 23),
    st.integers(0, 5),
    st.integers(0, 40),
    st.integers(0, 50),
    st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia", "Australia/Lord_Howe", "+05:30"]),
    st.integers(0, 60 * 365 * DAY),
)
def test_next_and_previous_of_a_repeat_are_its_fires(day, hour, months, days, hours, zone, apart):
    if not (months or days or hours):
        return
    repeat = parse_repeat(f"R/{day}T{hour:02}:30/P{months}M{days}DT{hours}H", timezone=zone)
    moment = repeat.start + apart
    found = next_after(repeat, moment)
    assert found > moment
    assert previous_before(repeat, found + 1) == found
    before = previous_before(repeat, found)
    assert before <= moment
    assert next_after(repeat, before) == found
    low, high = repeat._around(moment)
    ks = [k for k in range(low, high + 1) if repeat.fire(k) == found]
    assert len(ks) == 1
    assert ks[0] == 0 or repeat.fire(ks[0] - 1) == before


@pytest.mark.parametrize(
    ("text", "rule", "token"),
    [
        ("", "bad_repeat", ""),
        ("R5/2026-01-01", "bad_repeat", "R5/2026-01-01"),
        ("5/2026-01-01/P1D", "bad_repeat", "5"),
        ("R0/2026-01-01/P1D", "bad_repeat", "R0"),
        ("R-2/2026-01-01/P1D", "bad_repeat", "R-2"),
        ("R/2026-13-01/P1D", "bad_moment", "2026-13-01"),
        ("R/2026-02-30T00:00/P1D", "bad_moment", "2026-02-30T00:00"),
        ("R/2026-01-01T00:00:00.1234567Z/P1D", "bad_moment", "2026-01-01T00:00:00.1234567Z"),
        ("R/1969-12-31/P1D", "bad_moment", "1969-12-31"),
        ("R/9999-01-01/P1D", "bad_moment", "9999-01-01"),
        ("R/2026-01-01/P", "bad_duration", "P"),
        ("R/2026-01-01/PT", "bad_duration", "PT"),
        ("R/2026-01-01/P1.5D", "bad_duration", "P1.5D"),
        ("R/2026-01-01/PT1.5H2M", "bad_duration", "PT1.5H2M"),
        ("R/2026-01-01/P1D1M", "bad_duration", "P1D1M"),
        ("R/2026-01-01/PT0S", "too_short", "PT0S"),
        ("R/2026-01-01/P999999Y", "too_long", "P999999Y"),
        ("R/2026-01-02/2026-01-01", "bad_repeat", "2026-01-01"),
        ("R/2026-01-01/2026-01-01", "bad_repeat", "2026-01-01"),
        ("R/2026-01-01/\uff11D", "bad_repeat", ""),
    ],
)
def test_repeats_that_are_refused(text, rule, token):
    with pytest.raises(InvalidValue) as caught:
        parse_repeat(text)
    assert (caught.value.field, caught.value.rule, caught.value.params["token"]) == ("/repeat", rule, token)
    at = caught.value.params["position"]
    assert text[at : at + len(token)] == token


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P1M", Duration(1)),
        ("P1Y2M3W4D", Duration(14, 25)),
        ("PT1H30M", Duration(elapsed=90 * MINUTE)),
        ("PT1.5H", Duration(elapsed=90 * MINUTE)),
        ("PT0,25S", Duration(elapsed=250_000)),
        ("P1DT12H", Duration(0, 1, 12 * HOUR)),
    ],
)
def test_iso_durations(text, expected):
    assert parse_iso(text) == parse_iso(text.lower()) == expected


def test_every_takes_elapsed_units_and_names_repeat_for_a_date_part():
    assert parse_every("PT90S") == parse_every("90s") == parse_every("1m30s") == 90 * SECOND
    for text in ("P1D", "P1M", "P1DT1H"):
        with pytest.raises(InvalidValue) as caught:
            parse_every(text)
        assert (caught.value.field, caught.value.rule) == ("/every", "date_part")
        assert "repeat" in caught.value.hint
    with pytest.raises(InvalidValue, match="too short"):
        parse_every("PT0.5S")
    assert parse_every("PT0.5S", least=100_000) == 500_000
