from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from angelica.clock import SECOND
from tests.http.house import House


def submit(client: TestClient, **more: Any) -> str:
    return str(client.post("/tasks", json={"name": "add", "kwargs": {"a": 1, "b": 2}, **more}).json()["task_id"])


def ids(client: TestClient, query: str = "") -> list[str]:
    answer = client.get(f"/tasks{query}")
    assert answer.status_code == 200, answer.text
    return [task["task_id"] for task in answer.json()["items"]]


def test_pages_follow_the_cursor(client: TestClient, house: House) -> None:
    made = []
    for _ in range(7):
        made.append(submit(client))
        house.clock.advance(SECOND)
    seen: list[str] = []
    path: str | None = "/tasks?limit=3&queue=default"
    while path:
        answer = client.get(path)
        page = answer.json()
        seen += [task["task_id"] for task in page["items"]]
        link = answer.headers.get("link")
        assert (link is None) == (page["next_cursor"] is None)
        found = re.fullmatch('<(.*)>; rel="next"', link or "")
        path = found[1] if found else None
    assert seen == made[::-1]
    assert ids(client, "?sort=create_time") == made


def test_a_cursor_belongs_to_its_order(client: TestClient, house: House) -> None:
    for _ in range(3):
        submit(client)
    cursor = client.get("/tasks?limit=1&sort=create_time").json()["next_cursor"]
    assert len(ids(client, f"?cursor={cursor}")) == 2
    for query in (f"?sort=-create_time&cursor={cursor}", "?cursor=abc", "?cursor=%00", "?cursor="):
        assert client.get(f"/tasks{query}").json()["error"] == "invalid-query"


def test_filters(client: TestClient, house: House) -> None:
    mail = submit(client, queue="mail", labels={"env": "prod"})
    house.clock.advance(SECOND)
    etl = submit(client, queue="etl", labels={"env": "test"}, delay=60)
    assert ids(client, "?queue=mail") == [mail]
    assert ids(client, "?queue=mail,etl") == [etl, mail]
    assert ids(client, "?queue=m*") == [mail]
    assert ids(client, "?name=a*") == [etl, mail]
    assert ids(client, "?label.env=prod") == [mail]
    assert ids(client, "?created_after=2023-11-14T22:13:21Z") == [etl]
    assert ids(client, "?created_before=2023-11-14T22:13:21Z") == [mail]
    assert ids(client, "?status=scheduled") == [etl]
    assert ids(client, "?status=PENDING") == [etl, mail]
    assert ids(client, "?state=Queued,running") == [mail]
    assert ids(client, "?status=retrying") == []
    assert ids(client, "?status=blocked") == []


@pytest.mark.parametrize("alias", ["SUCCEEDED", "succeeded", "SUCCESS", "Completed"])
def test_every_spelling_of_a_status(client: TestClient, house: House, alias: str) -> None:
    done = submit(client)
    house.end(house.claim())
    submit(client)
    assert ids(client, f"?status={alias}") == [done]


def test_lists_leave_the_bodies_out(client: TestClient, house: House) -> None:
    submit(client)
    house.end(house.claim())
    assert client.get("/tasks").json()["items"][0]["result"] is None
    assert client.get("/tasks?fields=result").json()["items"][0]["result"] == 42


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("statu=x", "statu"), ("status=nope", "status"), ("limit=0", "limit"), ("limit=501", "limit"),
        ("limit=ten", "limit"), ("sort=name", "sort"), ("queue=*x", "queue"),
        ("created_after=yesterday", "created_after"),
        ("limit=1&limit=2", "limit"), ("durable=maybe", "durable"), ("label.=x", "label."), ("name=%00", "name"),
        ("status=retrying,failed", "status"),
    ],
)  # fmt: skip
def test_a_query_that_is_wrong_names_its_key(client: TestClient, query: str, key: str) -> None:
    answer = client.get(f"/tasks?{query}")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid-query")
    assert answer.json()["errors"][0]["pointer"] == key


def test_an_unknown_key_gets_a_suggestion(client: TestClient) -> None:
    assert "did you mean status?" in client.get("/tasks?statuss=x").json()["detail"]
