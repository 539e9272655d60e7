from __future__ import annotations

import json

from starlette.testclient import TestClient

ADD = {"name": "add", "kwargs": {"a": 1, "b": 2}}


def test_a_batch_is_created_in_order(client: TestClient) -> None:
    answer = client.post("/tasks/batch", json={"tasks": [{**ADD, "task_id": f"b-{n}"} for n in range(3)]})
    assert answer.status_code == 201
    assert answer.json()["failed"] == 0
    assert [item["location"] for item in answer.json()["items"]] == ["/tasks/b-0", "/tasks/b-1", "/tasks/b-2"]


def test_an_atomic_batch_with_a_bad_item_stores_nothing(client: TestClient) -> None:
    answer = client.post("/tasks/batch", json={"tasks": [ADD, {**ADD, "priority": 999}], "atomic": True})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/tasks/1/priority"]
    assert client.get("/tasks").json()["items"] == []


def test_an_atomic_batch_with_a_conflict_stores_nothing(client: TestClient) -> None:
    client.post("/tasks", json={**ADD, "task_id": "taken"})
    tasks = [{**ADD, "task_id": "new"}, {"name": "add", "kwargs": {"a": 5, "b": 5}, "task_id": "taken"}]
    answer = client.post("/tasks/batch", json={"tasks": tasks})
    assert answer.status_code == 409
    assert client.get("/tasks/new").status_code == 404


def test_a_batch_of_singles_answers_a_problem_for_each_bad_item(client: TestClient) -> None:
    tasks = [ADD, {**ADD, "priority": 999}, {"name": "nothing"}, ADD]
    answer = client.post("/tasks/batch", json={"tasks": tasks, "atomic": False})
    assert (answer.status_code, answer.json()["failed"]) == (200, 2)
    items = answer.json()["items"]
    assert items[1]["problem"]["errors"][0]["pointer"] == "/priority"
    assert items[2]["problem"]["error"] == "unknown-function"
    assert client.get(items[3]["location"]).status_code == 200
    assert len(client.get("/tasks").json()["items"]) == 2


def test_lines_are_a_batch_too(client: TestClient) -> None:
    lines = "\n".join(json.dumps({**ADD, "task_id": f"n-{n}"}) for n in range(3)) + "\n"
    answer = client.post("/tasks/batch", content=lines, headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 201
    bad = client.post("/tasks/batch", content='{"name":"add"}\n{', headers={"content-type": "application/x-ndjson"})
    assert (bad.status_code, bad.json()["error"]) == (400, "invalid-json")
    assert "line 2" in bad.json()["detail"]


def test_the_shape_of_a_batch_is_checked(client: TestClient) -> None:
    for body in (
        [],
        {},
        {"tasks": []},
        {"tasks": 3},
        {"tasks": [ADD] * 1001},
        {"tasks": [ADD], "atomic": "yes"},
        {"tasks": [ADD], "atom": True},
    ):
        answer = client.post("/tasks/batch", json=body)
        assert answer.status_code == 422, body
        assert answer.json()["errors"]


def test_a_batch_is_idempotent_by_key(client: TestClient) -> None:
    key = {"Idempotency-Key": "b-1"}
    first = client.post("/tasks/batch", json={"tasks": [ADD, ADD]}, headers=key)
    second = client.post("/tasks/batch", json={"tasks": [ADD, ADD]}, headers=key)
    assert second.headers["idempotency-replayed"] == "true"
    names = [[item["task_id"] for item in answer.json()["items"]] for answer in (first, second)]
    assert names[0] == names[1]
    assert len(client.get("/tasks").json()["items"]) == 2
