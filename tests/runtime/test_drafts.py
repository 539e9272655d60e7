"""Drafts: the whole request, all problems at once, and the digest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from angelica.clock import DAY, MINUTE, SECOND
from angelica.domain.retry import Exponential, Fixed, Linear
from angelica.domain.task import Unique
from angelica.errors import InvalidValue, NotSupported
from angelica.runtime.drafts import InvalidRequest, digest, read_draft, read_options
from angelica.runtime.options import NO_OPTIONS

FULL = {
    "name": "reports.render",
    "args": [1],
    "kwargs": {"report_id": 42},
    "command": None,
    "env": {},
    "cwd": None,
    "stdin": None,
    "task_id": "job-001",
    "queue": "default",
    "priority": 0,
    "version": None,
    "labels": {"env": "prod"},
    "extensions": {"a": [1]},
    "run_at": "2026-11-22T02:00:00Z",
    "timeout": "30s",
    "deadline": None,
    "retries": 3,
    "backoff": {"kind": "exponential", "base": 1, "factor": 2, "cap": "1m", "jitter": 0.1},
    "retry_on": ["TimeoutError"],
    "unique": {"key": "report:42", "scope": "live", "on_conflict": "return"},
    "resources": {},
    "depends_on": [],
    "headers": {"tenant": "acme"},
    "result_ttl": "7d",
}


def test_the_full_form_is_read():
    draft = read_draft(FULL)
    options = draft.options
    assert (draft.name, draft.args, draft.kwargs) == ("reports.render", (1,), {"report_id": 42})
    assert draft.headers == {"tenant": "acme"}
    assert options.run_at == 1_795_312_800 * SECOND
    assert options.timeout == 30 * SECOND
    assert options.backoff == Exponential(1, 60.0, 2, 0.1)
    assert options.unique == Unique("report:42")
    assert options.result_ttl == 7 * DAY
    assert options.version is None


def test_a_name_is_enough():
    draft = read_draft({"name": "f"})
    assert draft.options is NO_OPTIONS
    assert (draft.args, dict(draft.kwargs)) == ((), {})


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"name": None}, "/name", "missing"),
        ({"name": 5}, "/name", "invalid"),
        ({"args": {}}, "/args", "type"),
        ({"kwargs": []}, "/kwargs", "type"),
        ({"priority": 128}, "/priority", "too_large"),
        ({"priority": -129}, "/priority", "too_small"),
        ({"priority": True}, "/priority", "invalid"),
        ({"priority": 1.0}, "/priority", "invalid"),
        ({"version": 2**32}, "/version", "too_large"),
        ({"version": -1}, "/version", "too_small"),
        ({"retries": 1001}, "/retries", "too_large"),
        ({"timeout": 0}, "/timeout", "too_small"),
        ({"timeout": "soon"}, "/timeout", "invalid"),
        ({"timeout_ms": 0}, "/timeout_ms", "too_small"),
        ({"timeout": 1, "timeout_ms": 1}, "/timeout_ms", "exclusive"),
        ({"delay": "5m", "run_at": "2026-11-22T02:00:00Z"}, "/run_at", "exclusive"),
        ({"delay": 1e18}, "/delay", "invalid"),
        ({"delay": -1}, "/delay", "invalid"),
        ({"run_at": "1969-12-31T00:00:00Z"}, "/run_at", "invalid"),
        ({"run_at": "2200-01-01T00:00:00Z"}, "/run_at", "invalid"),
        ({"run_at": "2026-11-22T02:00:00 Mars/Olympus"}, "/run_at", "invalid"),
        ({"deadline": "tomorrow"}, "/deadline", "invalid"),
        ({"labels": {"a": 1}}, "/labels", "invalid"),
        ({"labels": {"a": "x" * 2000}}, "/labels", "invalid"),
        ({"labels": {str(n): "x" for n in range(65)}}, "/labels", "too_large"),
        ({"labels": {"a": "\x00"}}, "/labels", "invalid"),
        ({"headers": []}, "/headers", "invalid"),
        ({"extensions": "x"}, "/extensions", "invalid"),
        ({"extensions": {"a": "x" * 70_000}}, "/extensions", "too_large"),
        ({"unique": {"kee": "x"}}, "/unique", "invalid"),
        ({"unique": {"key": ""}}, "/unique", "invalid"),
        ({"unique": {"key": "x", "scope": "ever"}}, "/unique", "invalid"),
        ({"backoff": {"kind": "zigzag"}}, "/backoff", "invalid"),
        ({"backoff": {"kind": "fixed", "base": 1}}, "/backoff", "invalid"),
        ({"backoff": {"base": -1}}, "/backoff", "invalid"),
        ({"retry_on": "OSError"}, "/retry_on", "invalid"),
        ({"retry_on": [5]}, "/retry_on", "invalid"),
        ({"task_id": "batch"}, "/task_id", "invalid"),
        ({"task_id": "-x"}, "/task_id", "invalid"),
        ({"task_id": "x" * 129}, "/task_id", "invalid"),
        ({"queue": ""}, "/queue", "invalid"),
        ({"queue": "a\nb"}, "/queue", "invalid"),
        ({"created_by": "root"}, "/created_by", "unknown_field"),
    ],
)
def test_one_problem_is_raised_as_itself(change, field, rule):
    with pytest.raises(InvalidValue) as caught:
        read_draft({"name": "f", **change})
    assert (caught.value.field, caught.value.rule) == (field, rule)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("env", {"A": "1"}),
        ("cwd", "/"),
        ("stdin", "x"),
        ("depends_on", ["a"]),
        ("callback", {"endpoint": "x"}),
        ("callback_url", "https://example.com"),
        ("concurrency_key", "acme"),
    ],
)
def test_what_is_not_served_is_refused_and_not_ignored(field, value):
    with pytest.raises(NotSupported) as caught:
        read_draft({"name": "f", field: value})
    assert caught.value.field == f"/{field}"


def test_a_command_stands_in_place_of_a_name():
    draft = read_draft({"command": "python train.py --epoch 100", "args": [], "delay": 5})
    assert (draft.name, draft.command, draft.options.delay) == ("", "python train.py --epoch 100", 5 * SECOND)
    assert read_draft({"name": "f", "command": None}).command is None


def test_all_problems_are_collected():
    with pytest.raises(InvalidRequest) as caught:
        read_draft({"name": "f", "retrys": 1, "priority": 128, "args": 1})
    assert [(problem.field, problem.hint) for problem in caught.value.problems] == [
        ("/args", ""),
        ("/retrys", "did you mean retries?"),
        ("/priority", ""),
    ]


@pytest.mark.parametrize("value", [None, [], "x", 5])
def test_a_request_is_an_object(value):
    with pytest.raises(InvalidValue, match="object"):
        read_draft(value)


def test_unknown_fields_name_what_was_meant():
    for given, meant in (
        ("at", "run_at"),
        ("key", "unique"),
        ("id", "task_id"),
        ("prio", "priority"),
        ("label", "labels"),
    ):
        with pytest.raises(InvalidValue) as caught:
            read_draft({"name": "f", given: "x"})
        assert caught.value.params["suggestion"] == meant


def test_pythons_own_values_pass_the_same_gate():
    options = read_options(
        {
            "delay": timedelta(minutes=5),
            "deadline": datetime(2030, 1, 1, tzinfo=UTC),
            "backoff": Linear(1.0),
            "retry_on": [TimeoutError, InvalidValue],
            "unique": Unique("k", "retained"),
        }
    )
    assert options.delay == 5 * MINUTE
    assert options.backoff == Linear(1.0)
    assert options.retry_on == ("TimeoutError", "angelica.errors.InvalidValue")
    assert options.unique == Unique("k", "retained")
    assert read_options({"backoff": "5s"}).backoff == Fixed(5.0)
    assert read_options({"timeout": None}).canonical() == {"timeout": None}
    with pytest.raises(InvalidValue, match="time zone"):
        read_options({"run_at": datetime(2030, 1, 1)})  # noqa: DTZ001 - naive on purpose


def test_the_digest_knows_no_order_of_keys():
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest({})) == 64
