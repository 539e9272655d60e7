"""The rows of two peers' own test suites, with our answer and its reason where the semantics differ."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from angelica.clock import SECOND
from angelica.domain.cron.evaluate import next_after, previous_before
from angelica.domain.cron.interval import Every
from angelica.domain.cron.parse import parse
from angelica.domain.cron.zones import EPOCH
from angelica.errors import InvalidValue

TABLES = Path(__file__).parent.parent / "data" / "cron"
ROWS = [row for name in ("quartz", "robfig") for row in json.loads((TABLES / f"{name}.json").read_text("utf-8"))]


def micros(text):
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def rows(*kinds):
    return [pytest.param({**row, **row.get("ours", {})}, id=row["id"]) for row in ROWS if row["kind"] in kinds]


def read(row):
    return parse(row["expr"], timezone=row.get("tz"), dialect=row.get("dialect", "standard"))


def test_the_tables_are_whole_and_every_difference_has_its_reason():
    assert len(ROWS) == 158 + 110 + 8 + 10
    assert all(("ours" in row) == ("why" in row) for row in ROWS)


@pytest.mark.parametrize("row", rows("match"))
def test_match(row):
    trigger, at = read(row), micros(row["at"])
    assert (next_after(trigger, at - SECOND) == at) == row["match"]
    assert (next_after(trigger, at - 1) == at) == row["match"]
    assert (previous_before(trigger, at + 1) == at) == row["match"]


@pytest.mark.parametrize("row", rows("next"))
def test_next(row):
    trigger, at = read(row), micros(row["start"])
    for expected in map(micros, row["expect"]):
        at = next_after(trigger, at)
        assert at == expected
    if row.get("end"):
        assert next_after(trigger, at) is None
    for expected in reversed([micros(text) for text in row["expect"][:-1]]):
        at = previous_before(trigger, at)
        assert at == expected


@pytest.mark.parametrize("row", [row for row in rows("valid", "invalid") if row.values[0]["valid"]])
def test_valid(row):
    assert next_after(read(row), 0) is not None


@pytest.mark.parametrize("row", [row for row in rows("valid", "invalid") if not row.values[0]["valid"]])
def test_invalid(row):
    with pytest.raises(InvalidValue) as caught:
        read(row)
    params = caught.value.params
    assert caught.value.field == "/cron"
    assert params["hint"]
    assert row["expr"][params["position"] :][: len(params["token"])].upper() == params["token"].upper()


@pytest.mark.parametrize("row", rows("equiv"))
def test_equivalent_texts_are_equal(row):
    assert parse(row["expr"]) == parse(row["expr2"])


@pytest.mark.parametrize("row", rows("every"))
def test_every_counts_from_its_anchor(row):
    every = parse(row["expr"])
    assert isinstance(every, Every)
    start = micros(row["start"])
    anchored = replace(every, anchor=start, skip_anchor=True)
    assert next_after(anchored, start) == micros(row["expect"][0])
