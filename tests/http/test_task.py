from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from angelica.clock import SECOND
from angelica.domain.outcome import Failed
from angelica.domain.task import TaskError
from tests.http.house import House

ADD: dict[str, Any] = {"name": "add", "kwargs": {"a": 1, "b": 2}}

MEMBERS = {
    "task_id", "kind", "command", "name", "queue", "status", "state", "why", "cancel_requested", "attempt", "failures",
    "retries", "priority", "version", "labels", "extensions", "create_time", "run_at", "start_time", "end_time",
    "duration", "wait", "progress", "result", "output", "error", "worker", "usage", "trace_id", "created_by",
    "schedule_id", "workflow_id", "parent_id", "retry_of", "row_version", "logs_url", "links",
}  # fmt: skip


def submit(client: TestClient, **more: Any) -> str:
    answer = client.post("/tasks", json={**ADD, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["task_id"])


def fail(house: House) -> None:
    house.end(house.claim(), Failed(TaskError("exception", "ValueError", "no", "Traceback …", "f1", 1)))


def test_a_task_has_exactly_the_documented_members(client: TestClient) -> None:
    task = client.get(f"/tasks/{submit(client, labels={'env': 'prod'})}").json()
    assert set(task) == MEMBERS
    assert task["create_time"] == "2023-11-14T22:13:20.000Z"
    assert task["labels"] == {"env": "prod"}
    assert task["logs_url"] == f"/tasks/{task['task_id']}/logs"
    assert (task["start_time"], task["end_time"], task["result"]) == (None, None, None)


def test_a_finished_task_shows_times_and_result(client: TestClient, house: House) -> None:
    task_id = submit(client)
    house.clock.advance(3 * SECOND)
    house.end(house.claim())
    task = client.get(f"/tasks/{task_id}").json()
    assert (task["status"], task["state"], task["result"]) == ("SUCCEEDED", "succeeded", 42)
    assert (task["duration"], task["wait"]) == (1.0, 2.0)


def test_states_between_are_computed(client: TestClient, house: House) -> None:
    later = submit(client, delay="5m")
    shown = client.get(f"/tasks/{later}").json()
    assert (shown["status"], shown["state"]) == ("PENDING", "scheduled")
    assert shown["why"] == {"code": "scheduled", "params": {"until": "2023-11-14T22:18:20.000Z"}}
    failed = submit(client)
    fail(house)
    shown = client.get(f"/tasks/{failed}").json()
    assert (shown["status"], shown["state"], shown["why"]["code"]) == ("PENDING", "retrying", "backoff")
    assert shown["error"]["type"] == "ValueError"


def test_no_such_task_is_a_problem(client: TestClient) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry"), ("GET", "/logs"),
                         ("GET", "/why"), ("GET", "/attempts"), ("GET", "/events"), ("GET", "/result")):  # fmt: skip
        answer = client.request(method, f"/tasks/none{path}")
        assert (answer.status_code, answer.json()["error"]) == (404, "not-found"), path


def test_an_entity_tag_saves_the_body(client: TestClient, house: House) -> None:
    path = f"/tasks/{submit(client)}"
    tag = client.get(path).headers["etag"]
    same = client.get(path, headers={"If-None-Match": f'"x", W/{tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert client.get(path, params={"fields": "status"}).headers["etag"] != tag
    house.end(house.claim())
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_fields_choose_members(client: TestClient) -> None:
    path = f"/tasks/{submit(client, headers={'tenant': 'acme', 'auth_token': 'hunter2'})}"
    shown = client.get(path, params={"fields": "headers,args,timeout"}).json()
    assert shown["headers"] == {"tenant": "acme", "auth_token": "[redacted]"}
    assert "hunter2" not in client.get(path).text
    wrong = client.get(path, params={"fields": "stats"})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid-query")


def test_a_waiting_task_is_cancelled_by_delete(client: TestClient) -> None:
    path = f"/tasks/{submit(client)}"
    answer = client.delete(path)
    assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    assert client.delete(path).status_code == 404


def test_a_running_task_is_asked_to_stop(client: TestClient, house: House) -> None:
    path = f"/tasks/{submit(client)}"
    house.claim()
    answer = client.delete(path)
    assert (answer.status_code, answer.json()["cancel_requested"]) == (202, True)
    assert answer.headers["location"] == path


def test_delete_minds_the_version(client: TestClient) -> None:
    path = f"/tasks/{submit(client)}"
    refused = client.delete(path, headers={"If-Match": '"999"'})
    assert (refused.status_code, refused.json()["error"]) == (412, "precondition-failed")
    assert client.delete(path, headers={"If-Match": client.get(path).headers["etag"]}).status_code == 200


def test_cancel_answers_409_for_what_has_ended(client: TestClient, house: House) -> None:
    path = f"/tasks/{submit(client)}"
    key = {"Idempotency-Key": "c-1"}
    assert client.post(f"{path}/cancel", json={"reason": "wrong input"}, headers=key).status_code == 200
    again = client.post(f"{path}/cancel", headers=key)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    refused = client.post(f"{path}/cancel")
    assert (refused.status_code, refused.json()["error"]) == (409, "not-cancellable")
    assert client.post(f"{path}/cancel", json={"reasn": 1}).status_code == 422
    assert client.post(f"{path}/cancel", json={"reason": True}).status_code == 422


def test_a_retry_is_a_new_task(client: TestClient, house: House) -> None:
    task_id = submit(client)
    early = client.post(f"/tasks/{task_id}/retry")
    assert (early.status_code, early.json()["error"]) == (409, "not-finished")
    house.end(house.claim())
    answer = client.post(f"/tasks/{task_id}/retry")
    assert answer.status_code == 201
    assert answer.json()["retry_of"] == task_id
    assert client.get(answer.headers["location"]).json()["task_id"] != task_id
    assert client.post(f"/tasks/{task_id}/retry", json={"delay": "soon"}).status_code == 422


def test_the_result_is_the_value_itself(client: TestClient, house: House) -> None:
    path = f"/tasks/{submit(client)}/result"
    early = client.get(path)
    assert (early.status_code, early.json()["error"]) == (409, "not-finished")
    house.end(house.claim())
    assert client.get(path).json() == 42


def test_no_client_takes_an_error_for_a_value(client: TestClient, house: House) -> None:
    path = f"/tasks/{submit(client)}/result"
    task = house.claim()
    house.end(task, Failed(TaskError("exception", "ValueError", "no", attempt=1), final=True))
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]) == (409, "task-failed")
    assert answer.json()["task_error"]["type"] == "ValueError"
    cancelled = submit(client)
    client.delete(f"/tasks/{cancelled}")
    assert client.get(f"/tasks/{cancelled}/result").json()["error"] == "task-cancelled"


def test_waiting_for_the_end(client: TestClient, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    async def wait(task_id: str, timeout: float) -> Any:
        asked.append(timeout)
        return await house.service.get(task_id)

    monkeypatch.setattr(house.service, "wait", wait)
    path = f"/tasks/{submit(client)}"
    assert client.get(path, params={"wait": "30"}).status_code == 200
    assert client.get(path, params={"wait": "1m"}).status_code == 200
    assert asked == [30.0, 60.0]
    assert client.get(path, params={"wait": "61"}).json()["error"] == "invalid-query"
    assert client.get(path, params={"wait": "-1"}).json()["error"] == "invalid-query"


def test_the_history_has_every_attempt(client: TestClient, house: House) -> None:
    task_id = submit(client)
    fail(house)
    house.clock.advance(10 * SECOND)
    house.do(house.storage.promote_due(now=house.clock.now()))
    house.end(house.claim())
    attempts = client.get(f"/tasks/{task_id}/attempts").json()["items"]
    assert [(each["attempt"], each["outcome"]) for each in attempts] == [(1, "failed"), (2, "succeeded")]
    assert attempts[0]["error"]["message"] == "no"
    stages = [each["stage"] for each in client.get(f"/tasks/{task_id}/events").json()["items"]]
    assert stages == ["submitted", "started", "failed", "started", "finished"]


def test_why_says_why(client: TestClient, house: House) -> None:
    path = f"/tasks/{submit(client)}/why"
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.json()["code"] == "no_worker"
    house.end(house.claim())
    assert client.get(path).status_code == 204
