"""Whatever is sent to whichever route of the document: never a 5xx, and every refusal is a problem document."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from angelica.http.openapi import document
from angelica.http.problems import KINDS
from angelica.http.routes import endpoints
from tests.http.house import House

DOCUMENT = document(endpoints(), version="0")
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
HOUSE = House()
CLIENT: TestClient = HOUSE.client()

words = st.text(max_size=12) | st.sampled_from(
    ["1", "-1", "0", "true", "PENDING", "failed", "retrying", "2026-01-01T00:00:00Z", "a*", "*", "1-1",
     "99999999999999999999", "add", "t-1", "ZGVzY3wxfGE", "\x00", "\U0001f33f", "%", "../..", "label"]
)  # fmt: skip
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | words
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=8
)
TASK_FIELDS = sorted(DOCUMENT["components"]["schemas"]["NewTask"]["properties"])
SCHEDULE_FIELDS = sorted(DOCUMENT["components"]["schemas"]["NewSchedule"]["properties"])
OTHERS = ["past", "future", "count", "after", "from", "to", "force", "dry_run", "overlap", "field", "catch_up",
          "source", "revision", "schedules", "redeclare", "spec", "job", "taskId", "taskName", "cronExpression",
          "enabled", "cancel_pending"]  # fmt: skip
bodies = st.dictionaries(
    st.sampled_from([*TASK_FIELDS, *SCHEDULE_FIELDS, *OTHERS, "tasks", "atomic", "reason", "delay", "command", "junk"]),
    anything,
    max_size=5,
)
tasks = st.builds(lambda more: {"name": "add", **more}, bodies)
times = st.sampled_from(
    [{"cron": "*/5 * * * *"}, {"cron": "0 0 2 * * ?", "timezone": "Europe/Berlin"}, {"every": 90}, {"in": "5m"},
     {"every": "1h", "mode": "delay"}, {"at": "2199-12-31T23:59:59Z"}, {"repeat": "R3/2190-01-31T09:00/P1M"},
     {"spec": "@daily", "job": "add"}, {"taskId": "s-1", "taskName": "add", "cronExpression": "@hourly"},
     {"from": 1_699_990_000, "to": 1_700_000_000}, {"cron": "0 0 29 2 *", "end_at": "2030-01-01T00:00:00Z"}]
)  # fmt: skip
ids = st.sampled_from(["s-1", "s-2"])
schedules = st.builds(
    lambda id, time, more: {"schedule_id": id, "name": "add", **time, **more}, ids, times, st.just({}) | bodies
)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    method, path, operation = draw(st.sampled_from(OPERATIONS))
    query = []
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            value = draw(ids | words if parameter["name"] == "schedule_id" else words)
            path = path.replace(f"{{{parameter['name']}}}", quote(value, safe=""))
        elif parameter["in"] == "query" and draw(st.booleans()):
            name = parameter["name"] + ("env" if parameter["name"].endswith(".") else "")
            query.append((name, draw(words)))
    if draw(st.integers(0, 9)) == 0:
        query.append((draw(words), draw(words)))
    made: dict[str, Any] = {"method": method, "path": path, "query": query, "headers": {}}
    # A long wait is right, and slow: it has its own test.
    made["query"] = [(key, value) for key, value in query if key != "wait"]
    headers = {p["name"]: draw(words) for p in operation.get("parameters", []) if p["in"] == "header"}
    made["headers"] = {
        key: value for key, value in headers.items() if value.isascii() and value.isprintable() and "wait" not in value
    }
    if "requestBody" in operation:
        listed = st.builds(lambda t: {"schedules": t, "source": "f"}, st.lists(schedules, max_size=3))
        value = draw(
            anything
            | bodies
            | tasks
            | times
            | schedules
            | listed
            | st.builds(lambda t: {"tasks": t}, st.lists(tasks, max_size=3))
        )
        made["body"] = draw(st.just(json.dumps(value).encode()) | st.binary(max_size=30))
        made["headers"]["content-type"] = "application/json"
    return made


@settings(max_examples=1000)
@given(requests())
def test_never_a_fault_of_the_server(request: dict[str, Any]) -> None:
    address = request["path"]
    answer = CLIENT.request(
        request["method"],
        address if address.startswith("/") else "/" + address,
        params=request["query"],
        headers=request["headers"],
        content=request.get("body"),
    )
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert problem["error"] in KINDS
        assert problem["detail"]
        assert "Traceback" not in answer.text
    elif answer.status_code not in (204, 304):
        assert answer.content or request["method"] == "HEAD"
