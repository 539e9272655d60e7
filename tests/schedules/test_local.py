"""Moments on the clocks of a zone, with marks where those clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import SECOND
from angelica.domain.cron.local import local_of, offset_text
from angelica.domain.cron.zones import find_zone


def micros(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * SECOND)


@pytest.mark.parametrize(
    ("zone", "moment", "text", "offset", "mark"),
    [
        ("UTC", "2026-11-22T02:00:00+00:00", "2026-11-22T02:00:00", "+00:00", None),
        ("Asia/Shanghai", "2026-11-22T02:00:00+00:00", "2026-11-22T10:00:00", "+08:00", None),
        ("-03:30", "2026-11-22T02:00:00+00:00", "2026-11-21T22:30:00", "-03:30", None),
        ("Europe/Berlin", "2027-03-28T00:59:59+00:00", "2027-03-28T01:59:59", "+01:00", None),
        ("Europe/Berlin", "2027-03-28T01:00:00+00:00", "2027-03-28T03:00:00", "+02:00", "after_gap"),
        ("Europe/Berlin", "2027-03-28T01:00:01+00:00", "2027-03-28T03:00:01", "+02:00", None),
        ("Europe/Berlin", "2026-10-24T23:59:59+00:00", "2026-10-25T01:59:59", "+02:00", None),
        ("Europe/Berlin", "2026-10-25T00:00:00+00:00", "2026-10-25T02:00:00", "+02:00", "first_pass"),
        ("Europe/Berlin", "2026-10-25T01:00:00+00:00", "2026-10-25T02:00:00", "+01:00", "second_pass"),
        ("Europe/Berlin", "2026-10-25T01:59:59+00:00", "2026-10-25T02:59:59", "+01:00", "second_pass"),
        ("Europe/Berlin", "2026-10-25T02:00:00+00:00", "2026-10-25T03:00:00", "+01:00", None),
        ("Australia/Lord_Howe", "2027-04-03T14:59:59+00:00", "2027-04-04T01:59:59", "+11:00", "first_pass"),
        ("Australia/Lord_Howe", "2027-04-03T15:00:00+00:00", "2027-04-04T01:30:00", "+10:30", "second_pass"),
        ("Europe/Berlin", "2026-12-31T23:00:00+00:00", "2027-01-01T00:00:00", "+01:00", None),
    ],
)
def test_marks(zone: str, moment: str, text: str, offset: str, mark: str | None) -> None:
    shown = local_of(find_zone(zone), micros(moment))
    assert (shown.text, shown.offset, shown.mark) == (text, offset, mark)


def test_fractions_and_seconds_of_offsets() -> None:
    assert local_of(find_zone("UTC"), 1_500_000).text == "1970-01-01T00:00:01.5"
    assert offset_text(-1172) == "-00:19:32"


@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai", "America/Caracas"]),
    st.integers(0, 4_000_000_000),
)
def test_it_is_what_python_shows(name: str, second: int) -> None:
    shown = local_of(find_zone(name), second * SECOND)
    expected = datetime.fromtimestamp(second, UTC).astimezone(ZoneInfo(name))
    assert shown.text + shown.offset == expected.isoformat()
    assert (shown.mark == "second_pass") == (expected.fold == 1)
    # The other pass of a local time that is shown twice has another offset.
    twice = expected.replace(fold=0).utcoffset() != expected.replace(fold=1).utcoffset()
    assert (shown.mark in ("first_pass", "second_pass")) == twice
