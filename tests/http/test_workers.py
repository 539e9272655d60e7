"""Workers over HTTP: how each stands, what it runs, and what it is asked to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from angelica.clock import SECOND
from angelica.domain.outcome import Released
from angelica.domain.placement import Late
from angelica.http.app import create_app
from angelica.storage.protocol import Beat, Claim, Control, WorkerInfo
from tests.http.house import House, browse

ID = "node-1/7-0000ff"
QUOTED = ID.replace("/", "%2F")


def beat(
    house: House, worker: str = ID, *, lease: int = 15 * SECOND, heeds: Control | None = "run", **parts: Any
) -> None:
    now = house.clock.now()
    info = WorkerInfo(worker, "node-1", now.boot, 7, 1, "0.2.0", now.wall, 40, heeds=heeds)
    known = {"capacity": {"async": 40, "thread": 8}, "functions": ("add",), "labels": {"gpu": "true"}}
    info = replace(info, **{**known, **parts})
    house.do(house.storage.heartbeat(Beat(info, now.tick + lease, now.wall), now=now))


def states(client: TestClient) -> list[str]:
    return [row["state"] for row in client.get("/workers").json()["items"]]


def test_a_worker_is_shown_with_all_that_is_known_of_it(client: TestClient, house: House) -> None:
    beat(house, cpu=4.0, kept=Late(house.clock.wall(), "mail", "async;@cpu=3000"))
    house.clock.advance(2 * SECOND)
    (row,) = client.get("/workers").json()["items"]
    assert row == {
        "worker_id": ID,
        "state": "running",
        "host": "node-1",
        "pid": 7,
        "version": "0.2.0",
        "start_time": "2023-11-14T22:13:20.000Z",
        "seen_time": "2023-11-14T22:13:20.000Z",
        "heartbeat_age": 2.0,
        "control": "run",
        "heeds": "run",
        "slots": 40,
        "capacity": {"async": 40, "thread": 8},
        "cpu": 4.0,
        "memory": None,
        "keeps_free_for": {"queue": "mail", "due_time": "2023-11-14T22:13:20.000Z"},
        "running": 0,
        "queues": None,
        "functions": ["add"],
        "labels": {"gpu": "true"},
        "select": {},
    }


@pytest.mark.parametrize("worker_id", [ID, QUOTED])
@pytest.mark.parametrize("base", ["", "/api/v1"])
def test_an_id_with_a_slash_is_found_as_it_stands_and_escaped(
    client: TestClient, house: House, worker_id: str, base: str
) -> None:
    beat(house)
    assert client.get(f"{base}/workers/{worker_id}").json()["worker_id"] == ID
    assert client.post(f"{base}/workers/{worker_id}/drain").json()["worker_id"] == ID
    assert client.get(f"{base}/workers/{worker_id}/").status_code == 404
    assert client.get(f"{base}/workers/{worker_id}/drain").status_code == 405


def test_it_is_found_below_a_mount(house: House) -> None:
    beat(house)
    app = Starlette()
    app.mount("/angelica", create_app(house, mode="dev"))
    answer = browse(app).get(f"/angelica/workers/{QUOTED}")
    assert answer.json()["worker_id"] == ID


def test_what_it_runs_is_shown(client: TestClient, house: House) -> None:
    beat(house)
    task = client.post("/tasks", json={"name": "add", "task_id": "t1"}).json()
    now = house.clock.now()
    house.do(house.storage.exchange([], Claim(ID, 1, (("async", 1),)), now=now))
    shown = client.get(f"/workers/{QUOTED}").json()
    assert shown["running"] == 1
    assert shown["tasks"] == [
        {"task_id": task["task_id"], "name": "add", "queue": "default", "attempt": 1, "start_time": None}
    ]


def test_drain_and_resume(client: TestClient, house: House) -> None:
    beat(house)
    answer = client.post(f"/workers/{QUOTED}/drain")
    assert (answer.status_code, answer.json()["state"], answer.json()["heeds"]) == (202, "draining", "run")
    beat(house, heeds="drain")
    assert client.get(f"/workers/{QUOTED}").json()["heeds"] == "drain"
    answer = client.post(f"/workers/{QUOTED}/resume", json={})
    assert (answer.status_code, answer.json()["state"]) == (202, "running")


def test_a_stop_cannot_be_taken_back(client: TestClient, house: House) -> None:
    beat(house)
    for _ in range(2):
        answer = client.post(f"/workers/{QUOTED}/stop")
        assert (answer.status_code, answer.json()["state"]) == (202, "stopping")
    answer = client.post(f"/workers/{QUOTED}/resume")
    assert (answer.status_code, answer.json()["error"]) == (409, "worker-conflict")


def test_one_that_stops_by_itself_is_seen_stopping(client: TestClient, house: House) -> None:
    beat(house, heeds="stop")
    assert states(client) == ["stopping"]


def test_one_whose_lease_ran_out_is_lost(client: TestClient, house: House) -> None:
    beat(house)
    client.post(f"/workers/{QUOTED}/drain")
    house.clock.advance(16 * SECOND)
    assert states(client) == ["lost"]


def test_one_of_an_older_version_cannot_be_asked(client: TestClient, house: House) -> None:
    beat(house, heeds=None)
    answer = client.post(f"/workers/{QUOTED}/drain")
    assert (answer.status_code, answer.json()["error"]) == (409, "worker-conflict")
    assert "0.2.0" in answer.json()["detail"]
    assert states(client) == ["running"]


def test_refusals(client: TestClient, house: House) -> None:
    beat(house)
    for method, path in (("GET", "/workers/none"), ("POST", "/workers/none/drain"), ("POST", "/workers/a/b/c/stop")):
        assert client.request(method, path).status_code == 404, path
    assert client.post(f"/workers/{QUOTED}/drain", json={"reason": "x"}).status_code == 422


def test_what_no_live_worker_can_run_is_told(client: TestClient, house: House) -> None:
    beat(house, functions=("add",))
    client.post("/tasks", json={"name": "render", "task_id": "t1"})
    (task,) = house.do(house.storage.exchange([], Claim(ID, 1, (("async", 1),)), now=house.clock.now())).claimed
    house.end(task, Released(held="unknown_function"))
    shown = client.get("/tasks/t1").json()
    assert (shown["state"], shown["why"]["code"]) == ("blocked", "unknown_function")
    blocked = {"reason": "unknown_function", "name": "render", "tasks": 1, "able_workers": 0}
    assert client.get("/api/status").json()["blocked"] == [blocked]
    why = client.get("/tasks/t1/why").json()
    assert (why["code"], why["params"]) == ("unknown_function", {"function": "render", "workers": 0})
    assert "render" in client.get("/health").json()["detail"]["blocked"]
    beat(house, "node-2/8-000001", functions=("render",))
    assert client.get("/tasks/t1").json()["state"] == "queued"
    assert client.get("/api/status").json()["blocked"] == []


def test_a_worker_that_drains_is_nobody_to_wait_for(client: TestClient, house: House) -> None:
    beat(house, functions=("add",))
    client.post("/tasks", json={"name": "add", "task_id": "t1"})
    assert client.get("/tasks/t1/why").json()["code"] == "ahead"
    client.post(f"/workers/{QUOTED}/drain")
    why = client.get("/tasks/t1/why").json()
    assert (why["code"], why["text"]) == ("no_worker", "No worker claims: of 1 live worker each drains or stops.")


def test_a_task_that_requires(client: TestClient, house: House) -> None:
    beat(house, labels={"zone": "a"})
    body = {"name": "add", "task_id": "t1", "requires": {"gpu": "true", "zone": "a"}}
    assert client.post("/tasks", json=body).status_code == 201
    assert client.post("/tasks", json=body).status_code == 200
    assert client.post("/tasks", json={**body, "requires": {"gpu": "false"}}).json()["error"] == "id-conflict"
    shown = client.get("/tasks/t1?fields=requires,executor").json()
    assert shown == {"task_id": "t1", "requires": {"gpu": "true", "zone": "a"}, "executor": "async"}
    why = client.get("/tasks/t1/why").json()
    assert why["code"] == "no_capable_worker"
    assert why["params"]["closest"] == [{"worker": ID, "missing": {"gpu": "true"}}]


@pytest.mark.parametrize("requires", [["gpu"], {"gpu": 1}, {"gpu": "a b"}, {"g,pu": "a"}])
def test_what_is_no_label_is_422(client: TestClient, requires: Any) -> None:
    answer = client.post("/tasks", json={"name": "add", "requires": requires})
    assert (answer.status_code, answer.json()["error"]) == (422, "validation-failed")
    assert answer.json()["errors"][0]["pointer"] == "/requires"
