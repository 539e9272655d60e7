from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.http.house import House

STORES = ("memory",)  # what cannot be read is refused before a store is asked

JSON = {"content-type": "application/json"}


def with_argument(value: str) -> bytes:
    return b'{"name": "render", "kwargs": {"x": %s}}' % value.encode("utf-8", "surrogatepass")


UNREADABLE = {
    "empty": b"",
    "cut": b'{"name": "add"',
    "trailing": b'{"name": "add"} x',
    "single quotes": b"{'name': 'add'}",
    "NaN": with_argument("NaN"),
    "Infinity": with_argument("-Infinity"),
    "not UTF-8": b'{"name": "\xff"}',
    "a surrogate in UTF-8": b'{"name": "\xed\xa0\x80"}',
    "open brackets": b"[" * 100_000,
    "a comma too many": b'{"name": "add",}',
    "a comment": b'{"name": "add"} // hello',
    "a byte order mark": b'\xef\xbb\xbf{"name": "add"}',
    "a raw NUL": b'{"name": "a\x00"}',
}

REFUSED = {
    "deep": (b'{"name": "render", "kwargs": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", ""),
    "a key twice": (b'{"name": "add", "name": "render"}', "/name"),
    "a key twice inside": (with_argument('{"a": 1, "a": 2}'), "/kwargs/x/a"),
    "too large a float": (with_argument("1e400"), "/kwargs/x"),
    "an escaped NUL": (with_argument('"a\\u0000b"'), "/kwargs/x"),
    "half a surrogate": (with_argument('"\\ud800"'), "/kwargs/x"),
    "5,000 digits": (with_argument("9" * 5000), "/kwargs/x"),
    "2^63": (with_argument(str(2**63)), "/kwargs/x"),
    "-2^63 - 1": (with_argument(str(-(2**63) - 1)), "/kwargs/x"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_400(client: TestClient, house: House, name: str) -> None:
    for path in ("/tasks", "/tasks/batch"):
        answer = client.post(path, content=UNREADABLE[name], headers=JSON)
        problem = answer.json()
        readable = name == "open brackets" and answer.status_code == 422
        assert readable or (answer.status_code, problem["error"]) == (400, "invalid-json"), problem
    assert client.get("/tasks").json()["items"] == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_read_and_refused_names_the_field(client: TestClient, name: str) -> None:
    body, pointer = REFUSED[name]
    answer = client.post("/tasks", content=body, headers=JSON)
    problem = answer.json()
    assert (answer.status_code, problem["error"]) in {(422, "validation-failed"), (400, "invalid-json")}, problem
    if answer.status_code == 422:
        assert problem["errors"][0]["pointer"] == pointer
    assert client.get("/tasks").json()["items"] == []


def test_the_largest_integers_are_kept(client: TestClient) -> None:
    for number in (2**63 - 1, -(2**63), 2**53 + 1):
        answer = client.post("/tasks", content=with_argument(str(number)), headers=JSON)
        shown = client.get(answer.headers["location"], params={"fields": "kwargs"})
        assert shown.json()["kwargs"] == {"x": number}


@pytest.mark.parametrize("body", [b"[]", b"null", b'"add"', b"3", b"{}"])
def test_another_shape_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/tasks", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["error"]) == (422, "validation-failed")


BAD_FIELDS: list[tuple[str, Any]] = [
    ("queue", ""), ("queue", "x" * 1000), ("queue", 3), ("queue", "a\nb"),
    ("run_at", "1969-12-31T23:59:59Z"), ("run_at", "2200-01-01T00:00:00Z"), ("run_at", "tomorrow"),
    ("run_at", "2026-02-30T00:00:00Z"), ("run_at", "2026-01-01T00:00:00"), ("run_at", "2026-01-01T00:00:00+99:99"),
    ("run_at", 1e18), ("run_at", True),
    ("priority", -129), ("priority", 128), ("priority", 10**18), ("priority", 1.5), ("priority", "high"),
    ("priority", True),
    ("delay", 1e18), ("delay", -1), ("delay", "1 fortnight"), ("delay", [5]), ("delay", "P99999Y"),
    ("timeout", 0), ("timeout", -5), ("timeout", "never"), ("retries", -1), ("retries", 10**9), ("retries", "many"),
    ("labels", {"a": 1}), ("labels", []), ("headers", {"a": None}), ("unique", {"scope": "live"}),
    ("unique", {"key": "k", "scope": "always"}), ("backoff", {"kind": "cubic"}), ("backoff", {"base": -1}),
    ("task_id", "../etc"), ("task_id", ""), ("task_id", "batch"), ("task_id", "x" * 129), ("task_id", 7),
    ("version", -1), ("version", 2**32), ("deadline", "x"), ("retry_on", "ValueError"), ("extensions", []),
    ("args", {}), ("kwargs", []),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_no_bad_field_reaches_a_worker(client: TestClient, field: str, value: Any) -> None:
    answer = client.post("/tasks", json={"name": "add", field: value})
    problem = answer.json()
    assert answer.status_code == 422, problem
    assert problem["errors"][0]["pointer"].startswith(f"/{field}"), problem
    assert client.get("/tasks").json()["items"] == []


def test_arguments_that_do_not_fit_are_named(client: TestClient) -> None:
    for kwargs, pointer in (({"a": "x"}, "/kwargs/a"), ({"c": 1}, "/kwargs/c")):
        answer = client.post("/tasks", json={"name": "add", "kwargs": kwargs})
        assert (answer.status_code, answer.json()["error"]) == (422, "invalid-arguments")
        assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_payload_over_its_limit_is_refused(client: TestClient) -> None:
    answer = client.post("/tasks", json={"name": "render", "kwargs": {"x": "x" * 300_000}})
    assert answer.status_code in (413, 422), answer.text
