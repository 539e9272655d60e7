"""Durations, sizes and moments as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import DAY, HOUR, MINUTE, SECOND
from angelica.durations import (
    LAST_MOMENT,
    MAX_DURATION,
    format_duration,
    format_moment,
    parse_duration,
    parse_moment,
    parse_size,
)


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        (30, 30 * SECOND),
        (1.5, 1_500_000),
        ("90", 90 * SECOND),
        ("0.000001", 1),
        ("30s", 30 * SECOND),
        (" 1h 30m ", 90 * MINUTE),
        ("1.5h", 90 * MINUTE),
        ("250ms", 250_000),
        ("7d", 7 * DAY),
        ("2w", 14 * DAY),
        ("PT5M", 5 * MINUTE),
        ("P1DT2H3M4.5S", DAY + 2 * HOUR + 3 * MINUTE + 4_500_000),
        ("P2W", 14 * DAY),
        (timedelta(minutes=2), 2 * MINUTE),
        (0, 0),
    ],
)
def test_durations(value, micros):
    assert parse_duration(value) == micros


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "-5s",
        -1,
        "1m1h",
        "1h1h",
        "PT",
        "P",
        "P1Y",
        "1e5",
        True,
        None,
        float("nan"),
        float("inf"),
        1e18,
        10**40,
        "9" * 200,
        [],
    ],
)
def test_what_is_no_duration(value):
    with pytest.raises(ValueError, match="must be"):
        parse_duration(value)


@given(st.integers(0, MAX_DURATION))
def test_durations_are_written_as_they_are_read(micros):
    assert parse_duration(format_duration(micros)) == micros


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (5, 5),
        ("64", 64),
        ("512MiB", 512 * 2**20),
        ("4GB", 4 * 10**9),
        ("1.5G", 1_500_000_000),
        ("7 kB", 7000),
        ("2KiB", 2048),
    ],
)
def test_sizes(value, size):
    assert parse_size(value) == size


@pytest.mark.parametrize("value", ["", "x", "1ib", True, -1, 10**30, 1.5, None, "-4MB"])
def test_what_is_no_size(value):
    with pytest.raises(ValueError, match="must be"):
        parse_size(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2026-11-22T02:00:00Z", "2026-11-22T02:00:00.000Z"),
        ("2026-11-22t02:00:00.1234567+08:00", "2026-11-21T18:00:00.123Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        (datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-5))), "2026-01-01T05:00:00.000Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (1.5, "1970-01-01T00:00:01.500Z"),
    ],
)
def test_moments(value, text):
    assert format_moment(parse_moment(value)) == text


@pytest.mark.parametrize(
    "value",
    [
        "2026-02-30T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T02:00:00",
        "2026-11-22",
        "1969-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "2026-11-22T02:00:00+25:00",
        "2026-11-22T02:00:00 Europe/Berlin",
        datetime(2026, 1, 1),  # noqa: DTZ001 - naive on purpose
        float("inf"),
        float("nan"),
        10**400,
        -1,
        True,
        None,
    ],
)
def test_what_is_no_moment(value):
    with pytest.raises(ValueError, match=r"must|is no moment"):
        parse_moment(value)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001 - bounds
def test_moments_agree_with_the_standard_library(moment):
    micros = parse_moment(moment.isoformat())
    assert micros == parse_moment(moment)
    assert format_moment(micros) == moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    assert micros < LAST_MOMENT
