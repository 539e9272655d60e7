from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.testclient import TestClient

from angelica.errors import QueueFull, ShuttingDown, StorageUnavailable, SubmitRefused
from tests.http.house import House

ADD: dict[str, Any] = {"name": "add", "kwargs": {"a": 1, "b": 2}}


def test_a_new_task_is_created_at_its_location(client: TestClient) -> None:
    answer = client.post("/tasks", json=ADD)
    assert answer.status_code == 201
    task = answer.json()
    assert answer.headers["location"] == f"/tasks/{task['task_id']}"
    assert task["status"] == "PENDING"
    assert task["state"] == "queued"
    assert task["created_by"] == "local"
    assert client.get(answer.headers["location"]).json() == task


def test_201_only_after_the_task_can_be_read_back(house: House, client: TestClient) -> None:
    task_id = client.post("/tasks", json=ADD).json()["task_id"]
    assert house.do(house.storage.get_tasks([task_id]))[0] is not None


def test_the_same_id_and_body_answers_the_standing_task(client: TestClient) -> None:
    body = {**ADD, "task_id": "job-001"}
    first, second = client.post("/tasks", json=body), client.post("/tasks", json=body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert second.headers["location"] == "/tasks/job-001"
    other = client.post("/tasks", json={**body, "kwargs": {"a": 9, "b": 9}})
    assert other.status_code == 409
    assert other.json()["error"] == "id-conflict"
    assert other.json()["task_id"] == "job-001"


def test_a_trace_of_another_call_is_still_the_same_body(client: TestClient) -> None:
    body = {**ADD, "task_id": "job-001"}
    for trace in ("4bf92f3577b34da6a3ce929d0e0e4736", "5bf92f3577b34da6a3ce929d0e0e4737"):
        answer = client.post("/tasks", json=body, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
        assert answer.status_code in (200, 201)
    assert answer.json()["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_trace_is_taken_over_into_the_task(client: TestClient) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = client.post("/tasks", json=ADD, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert answer.json()["trace_id"] == trace


def test_the_same_idempotency_key_answers_what_was_answered(client: TestClient) -> None:
    key = {"Idempotency-Key": "k-1"}
    first, second = client.post("/tasks", json=ADD, headers=key), client.post("/tasks", json=ADD, headers=key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.json()["task_id"] == first.json()["task_id"]
    assert len(client.get("/tasks").json()["items"]) == 1
    other = client.post("/tasks", json={**ADD, "priority": 5}, headers=key)
    assert (other.status_code, other.json()["error"]) == (422, "idempotency-mismatch")
    batch = client.post("/tasks/batch", json={"tasks": [ADD]}, headers=key)
    assert (batch.status_code, batch.json()["error"]) == (422, "idempotency-mismatch")


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_a_bad_idempotency_key_is_refused(client: TestClient, key: str) -> None:
    answer = client.post("/tasks", json=ADD, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid-header")


def test_minimal_answers_without_a_body(client: TestClient) -> None:
    answer = client.post("/tasks", json=ADD, headers={"Prefer": "return=minimal"})
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["preference-applied"] == "return=minimal"
    assert client.get(answer.headers["location"]).status_code == 200


def test_respond_async_answers_202(client: TestClient) -> None:
    answer = client.post("/tasks", json=ADD, headers={"Prefer": "respond-async"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")


def test_a_wait_that_runs_out_answers_202(client: TestClient, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_wait(task_id: str, timeout: float) -> Any:
        assert timeout == 10.0
        return await house.service.get(task_id)

    monkeypatch.setattr(house.service, "wait", no_wait)
    answer = client.post("/tasks", json=ADD, headers={"Prefer": "wait=10"})
    assert answer.status_code == 202
    assert answer.headers["retry-after"] == "1"
    assert "preference-applied" not in answer.headers


def test_a_wait_for_a_task_that_ends_answers_200(
    client: TestClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {**ADD, "task_id": "job-1"}
    client.post("/tasks", json=body)

    async def finish(task_id: str, timeout: float) -> Any:
        assert timeout == 60.0
        await asyncio.to_thread(lambda: house.end(house.claim()))
        return await house.service.get(task_id)

    monkeypatch.setattr(house.service, "wait", finish)
    answer = client.post("/tasks", json=body, headers={"Prefer": "wait=600"})
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=60"
    assert (answer.json()["status"], answer.json()["result"]) == ("SUCCEEDED", 42)


@pytest.mark.parametrize(
    ("error", "status", "slug", "retry"),
    [
        (QueueFull("full", retry_after=2.5), 429, "queue-full", "3"),
        (StorageUnavailable("disk /secret/path is gone"), 503, "store-unavailable", "1"),
        (ShuttingDown("bye"), 503, "shutting-down", "5"),
        (SubmitRefused("not on Sundays", status=403), 403, "submit-refused", None),
        (RuntimeError("SELECT secret"), 500, "server-error", None),
    ],
)
def test_what_the_engine_raises_is_a_problem(
    client: TestClient,
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    slug: str,
    retry: str | None,
) -> None:
    async def refuse(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(house.service, "submit", refuse)
    answer = client.post("/tasks", json=ADD)
    assert (answer.status_code, answer.json()["error"]) == (status, slug)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("retry-after") == retry
    assert "secret" not in answer.text
    assert len(answer.json()["trace_id"]) == 32


def test_every_wrong_field_is_named(client: TestClient) -> None:
    answer = client.post("/tasks", json={**ADD, "priority": 200, "retrys": 3})
    problem = answer.json()
    assert (answer.status_code, problem["error"]) == (422, "validation-failed")
    assert {error["pointer"] for error in problem["errors"]} == {"/priority", "/retrys"}
    assert "did you mean retries?" in problem["detail"]
    assert problem["instance"] == "/tasks"


def test_a_field_that_is_not_served_yet_is_refused(client: TestClient) -> None:
    answer = client.post("/tasks", json={"name": "add", "callback_url": "http://x", "task_id": "job-001"})
    assert answer.status_code == 422
    assert "not-supported" in answer.text or "not_supported" in answer.text


def test_an_unknown_function_is_named_with_its_neighbours(client: TestClient) -> None:
    answer = client.post("/tasks", json={"name": "ad"})
    assert (answer.status_code, answer.json()["error"]) == (422, "unknown-function")
    assert "add" in answer.json()["near"]


def test_validation_may_answer_400(house: House) -> None:
    house.settings.validation_status = 400
    with house.client() as client:
        assert client.post("/tasks", json={**ADD, "priority": 200}).status_code == 400


def test_a_trigger_takes_arguments_and_answers_202(client: TestClient) -> None:
    answer = client.post("/trigger/add", json={"a": 1, "b": 2})
    assert answer.status_code == 202
    assert answer.json()["status"] == "task submitted"
    shown = client.get(answer.headers["location"], params={"fields": "name,kwargs"}).json()
    assert shown == {"task_id": answer.json()["task_id"], "name": "add", "kwargs": {"a": 1, "b": 2}}


def test_a_trigger_needs_no_body(client: TestClient) -> None:
    assert client.post("/trigger/render").status_code == 202
    assert client.post("/trigger/render", json=[1]).status_code == 422
    assert client.post("/trigger/nothing").json()["error"] == "unknown-function"


def test_what_only_memory_holds_is_accepted_not_created(client: TestClient) -> None:
    answer = client.post("/tasks", json={"name": "fleeting"})
    assert (answer.status_code, answer.json()["durable"]) == (202, False)
    task_id = answer.json()["task_id"]
    assert client.get(f"/tasks/{task_id}").json()["name"] == "fleeting"
    assert client.get("/tasks").json()["items"] == []
    assert [each["task_id"] for each in client.get("/tasks?durable=false").json()["items"]] == [task_id]
    triggered = client.post("/trigger/fleeting")
    assert (triggered.status_code, triggered.json()["durable"]) == (202, False)
    batch = client.post("/tasks/batch", json={"tasks": [{"name": "fleeting"}, {"name": "add"}]})
    assert (batch.status_code, batch.json()["items"][0]["durable"]) == (202, False)


def test_a_unique_key_answers_the_standing_task_or_refuses(client: TestClient) -> None:
    body = {**ADD, "unique": {"key": "report:42"}}
    first, second = client.post("/tasks", json=body), client.post("/tasks", json=body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["task_id"] == second.json()["task_id"]
    refused = client.post("/tasks", json={**ADD, "unique": {"key": "report:42", "on_conflict": "reject"}})
    assert (refused.status_code, refused.json()["error"]) == (409, "unique-conflict")


def test_no_work_is_taken_while_shutting_down(client: TestClient, house: House) -> None:
    house.state = "SHUTDOWN"
    answer = client.post("/tasks", json=ADD)
    assert (answer.status_code, answer.json()["error"]) == (503, "shutting-down")
    assert client.get("/tasks").status_code == 200
