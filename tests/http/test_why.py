"""Why a task waits, over HTTP: the code, what blocks it with a link, its position, and when it should start."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from angelica.clock import SECOND
from angelica.domain.fire import fire
from angelica.domain.outcome import Failed
from angelica.domain.placement import Late
from angelica.domain.task import TaskError
from angelica.storage.protocol import Beat, WorkerInfo
from tests.http.house import House


def submit(client: TestClient, **more: Any) -> str:
    answer = client.post("/tasks", json={"name": "add", "kwargs": {"a": 1, "b": 2}, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["task_id"])


def why(client: TestClient, task_id: str) -> dict[str, Any]:
    answer = client.get(f"/tasks/{task_id}/why")
    assert answer.status_code == 200
    said: dict[str, Any] = answer.json()
    for path in said["blocking"]:
        assert client.get(path).status_code == 200, path
    return said


def worker(house: House, slots: int = 1) -> None:
    now = house.clock.now()
    house.do(house.storage.put_functions([function.row(seen_at=now.wall) for function in house.functions]))
    names = tuple(function.name for function in house.functions)
    info = WorkerInfo("w-1", "here", "boot-0", 1, 1, "0.1.0", now.wall, slots, functions=names, heeds="run")
    house.do(house.storage.heartbeat(Beat(info, now.tick + 3600 * SECOND, now.wall), now=now))


def test_without_a_worker_nothing_is_foretold(client: TestClient, house: House) -> None:
    said = why(client, submit(client))
    assert (said["code"], said["position"], said["predicted_start"]) == ("no_worker", None, None)
    assert said["blocking"] == ["/workers"]


def test_a_free_slot_means_now(client: TestClient, house: House) -> None:
    worker(house)
    said = why(client, submit(client))
    assert (said["code"], said["position"]) == ("ahead", 1)
    assert said["predicted_start"]["p10"] == "2023-11-14T22:13:20.000Z"
    assert said["predicted_start"]["p90"] == "2023-11-14T22:13:21.000Z"
    assert "It should start at about 2023-11-14T22:13:20.000Z" in said["text"]


def test_the_line_is_as_fast_as_it_has_been(client: TestClient, house: House) -> None:
    ids = [submit(client) for _ in range(40)]
    for _ in range(20):
        task = house.claim()
        house.clock.advance(2 * SECOND)
        house.end(task)
    house.claim()
    worker(house)
    said = why(client, ids[-1])
    assert (said["code"], said["position"]) == ("ahead", 19)
    start = said["predicted_start"]
    assert start["p10"] < "2023-11-14T22:14:36.000Z" < start["p90"], "38 s from now, which is 40 s after the first"
    assert start["p10"] > "2023-11-14T22:14:15.000Z"
    assert start["p90"] < "2023-11-14T22:15:00.000Z"
    assert why(client, ids[-2])["predicted_start"]["p50"] < start["p50"]


def test_one_that_is_due_later_starts_no_earlier(client: TestClient, house: House) -> None:
    worker(house)
    said = why(client, submit(client, delay="5m"))
    assert said["code"] == "scheduled"
    assert said["predicted_start"]["p10"] == said["params"]["until"]
    assert said["text"].endswith("It should start at 2023-11-14T22:18:20.000Z.")


def test_a_task_that_failed_points_to_its_attempts(client: TestClient, house: House) -> None:
    task_id = submit(client)
    house.end(house.claim(), Failed(TaskError("exception", "ValueError", "no", "", "f", 1)))
    said = why(client, task_id)
    assert (said["code"], said["blocking"]) == ("backoff", [f"/tasks/{task_id}/attempts"])


def test_a_running_task_points_to_its_worker(client: TestClient, house: House) -> None:
    task_id = submit(client)
    house.claim()
    assert why(client, task_id)["blocking"] == ["/workers/w-1"]


def test_a_run_that_waits_for_another_one_says_for_which(client: TestClient, house: House) -> None:
    body = {"schedule_id": "s", "name": "add", "every": "1m", "overlap": "queue_all"}
    assert client.post("/schedules", json=body).status_code == 201
    first = client.post("/schedules/s/trigger", json={}).json()["task_id"]
    house.clock.advance(61 * SECOND)
    (due,) = house.do(house.storage.due_schedules(now=house.clock.now()))
    firing = fire(due.schedule, now=house.clock.now(), unfinished=due.unfinished)
    assert house.do(house.storage.fire_many([firing], now=house.clock.now())) == (True,)
    waiting = next(each for each in client.get("/tasks").json()["items"] if each["state"] == "waiting")
    said = why(client, waiting["task_id"])
    assert (said["code"], said["position"], said["blocking"]) == ("overlap", 1, [f"/tasks/{first}"])


def test_in_a_shared_queue_only_its_own_tenants_tasks_are_ahead(client: TestClient, house: House) -> None:
    worker(house)
    assert client.patch("/queues/default", json={"fair": "tenant"}).status_code == 200
    house.clock.advance(2 * SECOND)
    for _ in range(9):
        submit(client, headers={"tenant": "big"})
    submit(client, headers={"tenant": "small"})
    said = why(client, submit(client, headers={"tenant": "small"}))
    assert (said["code"], said["position"], said["params"]["tenant"]) == ("ahead", 2, "small")
    assert said["predicted_start"] is None
    assert said["text"].endswith("1 task of its own tenant is ahead of it.")


def machine(house: House, name: str, cpu: float, **more: Any) -> None:
    now = house.clock.now()
    names = tuple(function.name for function in house.functions)
    info = WorkerInfo(name, "here", "boot-0", 1, 1, "0.2.0", now.wall, 4, functions=names, cpu=cpu, **more)
    house.do(house.storage.heartbeat(Beat(info, now.tick + 3600 * SECOND, now.wall), now=now))


def test_a_task_that_fits_but_not_now_waits_for_room(client: TestClient, house: House) -> None:
    machine(house, "w-1", 4.0)
    running = submit(client, resources={"cpu": 3})
    assert why(client, running)["code"] == "ahead"
    house.claim()
    machine(house, "w-1", 4.0)
    machine(house, "w-2", 1.0)
    waiting = submit(client, resources={"cpu": 2})
    said = why(client, waiting)
    assert (said["code"], said["position"], said["blocking"]) == ("no_room", 1, [f"/tasks/{running}"])
    assert said["params"] == {
        "needs": {"cpu": 2.0},
        "workers": [
            {
                "worker": "w-1",
                "capacity": {"cpu": 4.0, "memory": None},
                "free": {"cpu": 1.0, "memory": None},
                "tasks": 1,
                "kept_for_another": False,
            }
        ],
        "reserved": None,
        "ahead": 0,
    }
    assert said["text"].startswith("It needs 2 CPUs, and waits for room: w-1 has 1 CPU free of 4 CPUs. The first")
    assert why(client, submit(client, resources={"cpu": 1}))["code"] == "ahead"


def test_it_is_told_for_whom_a_worker_keeps_itself_free(client: TestClient, house: House) -> None:
    machine(house, "w-1", 4.0)
    submit(client, resources={"cpu": 3})
    house.claim()
    waiting = submit(client, resources={"cpu": 2})
    due = house.clock.wall()
    house.clock.advance(SECOND)
    small = submit(client, resources={"cpu": 1})
    machine(house, "w-1", 4.0, kept=Late(due, "default", "async;@cpu=2000"))
    said = why(client, waiting)
    assert (said["code"], said["params"]["reserved"]) == ("no_room", "w-1")
    assert said["text"].endswith("w-1 keeps itself free for it.")
    said = why(client, small)
    assert (said["code"], said["params"]["reserved"]) == ("no_room", None)
    assert "w-1 keeps itself free for another task" in said["text"]


def test_a_task_larger_than_every_worker_is_held_and_says_so(client: TestClient, house: House) -> None:
    machine(house, "w-1", 4.0)
    large = submit(client, resources={"cpu": 8})
    before = why(client, large)
    assert house.do(house.storage.park_unmet(now=house.clock.now())) == 1
    assert client.get(f"/tasks/{large}").json()["why"]["code"] == "no_worker_fits"
    said = why(client, large)
    assert said == before
    assert (said["code"], said["params"]) == (
        "no_worker_fits",
        {"needs": {"cpu": 8.0}, "largest": {"cpu": 4.0, "memory": 0}},
    )
    house.do(house.storage.end_worker("w-1", now=house.clock.now()))
    assert why(client, large)["text"].endswith("no live worker can take it.")
    machine(house, "w-2", 8.0)
    assert why(client, large)["code"] == "ahead"
