"""Strict JSON: what is read, what is refused, and with which of the two errors."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.errors import InvalidValue
from angelica.strict_json import MAX_DEPTH, InvalidJson, check, dumps, loads

SURROGATES = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
TEXTS = st.text(SURROGATES)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_what_json_writes_is_read_back(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert loads(text) == value
    assert loads(text.encode()) == value


@given(VALUES)
def test_what_dumps_writes_is_read_back(value):
    assert loads(dumps(value)) == value


@given(st.text() | st.binary())
def test_any_input_gives_a_value_or_one_of_the_two_errors(data):
    with suppress(InvalidJson, InvalidValue):
        loads(data)


@given(st.dictionaries(TEXTS, st.integers(0, 9), min_size=1), st.data())
def test_a_key_written_twice_is_always_found(members, data):
    twice = data.draw(st.sampled_from(sorted(members)))
    pairs = [*members.items(), (twice, 1)]
    colon = data.draw(st.sampled_from([":", " : ", "\t:", "\n:"]))
    text = "{" + ",".join(f"{json.dumps(key)}{colon}{value}" for key, value in pairs) + "}"
    with pytest.raises(InvalidValue) as caught:
        loads(text)
    assert caught.value.rule == "duplicate_key"


@pytest.mark.parametrize(
    ("text", "field", "rule"),
    [
        ('{"a":1,"a":2}', "/a", "duplicate_key"),
        ('{"a":1,"\\u0061":2}', "/a", "duplicate_key"),
        ('{"x":[{"a/b":1,"a/b":2}]}', "/x/0/a~1b", "duplicate_key"),
        ('{"a":1e400}', "/a", "not_finite"),
        ("[-1e999]", "/0", "not_finite"),
        ("[9223372036854775808]", "/0", "int_range"),
        ("[-9223372036854775809]", "/0", "int_range"),
        ("[" + "9" * 5000 + "]", "/0", "int_range"),
        ('{"a":"\\u0000"}', "/a", "nul"),
        ('["\\ud800"]', "/0", "surrogate"),
        ('["\\uDC00x"]', "/0", "surrogate"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "", "too_deep"),
        ("[" * 100_000 + "]" * 100_000, "", "too_deep"),
        ('{"a":' * 100_000, "", "too_deep"),
    ],
)
def test_readable_and_refused(text, field, rule):
    with pytest.raises(InvalidValue) as caught:
        loads(text)
    assert (caught.value.field, caught.value.rule) == (field, rule)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("", 1, 1),
        ("[1]x", 1, 4),
        ("[NaN]", 1, 2),
        ("[Infinity]", 1, 2),
        ('{"a":1,\n "b":}', 2, 6),
        ("[01]", 1, 3),
        ("\ufeff[]", 1, 1),
        (b'["\xff"]', 1, 3),
        (b'["\xed\xa0\x80"]', 1, 3),
        ('["\ud800"]', 1, 3),
        ('["a\nb"]', 1, 4),
        ("{'a':1}", 1, 2),
    ],
)
def test_unreadable_names_the_place(text, line, column):
    with pytest.raises(InvalidJson) as caught:
        loads(text)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    "text", ['"\\ud83d\\ude00"', '"\\\\ud800"', '{"a":"x\\":y"}', '{"a" : "b :c"}', "[1.5e300, -0.0]"]
)
def test_harmless_look_alikes_are_read(text):
    assert loads(text) == json.loads(text)


def test_depth_of_exactly_the_limit_is_read():
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert dumps(loads(text)) == text


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 2**63, "\x00", "\ud800", {1: 2}, {"\x00": 1}, {1, 2}, object(), b"x", [[object()]]],
)
def test_dumps_refuses_what_loads_would(value):
    with pytest.raises(InvalidValue):
        dumps(value)


def test_dumps_refuses_what_contains_itself():
    value: list[object] = []
    value.append(value)
    with pytest.raises(InvalidValue, match="deeper"):
        dumps(value)


def test_check_names_the_place():
    with pytest.raises(InvalidValue) as caught:
        check({"a": [1, {2}]}, "/kwargs")
    assert caught.value.field == "/kwargs/a/1"
