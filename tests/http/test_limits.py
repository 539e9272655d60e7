"""Queues and limits over HTTP: seen, paused, set and taken back, and what is said of tasks that they hold."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from angelica.clock import SECOND
from angelica.domain.task import EXECUTORS
from angelica.storage.protocol import Claim
from tests.http.house import House


def submit(client: TestClient, **parts: Any) -> str:
    reply = client.post("/tasks", json={"name": "render", **parts})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["task_id"])


def claimed(house: House) -> list[str]:
    claim = Claim("w1", 9, tuple((kind, 9) for kind in EXECUTORS))
    return [task.id for task in house.do(house.storage.exchange([], claim, now=house.clock.now())).claimed]


def pointers(reply: Any) -> list[str]:
    assert reply.status_code == 422, reply.text
    return [error["pointer"] for error in reply.json()["errors"]]


def test_a_queue_is_paused_and_goes_on(client: TestClient, house: House) -> None:
    task_id = submit(client)
    paused = client.post("/queues/default/pause", json={"reason": "deploy"})
    assert paused.status_code == 200
    assert {key: paused.json()[key] for key in ("name", "paused", "reason", "waiting", "running")} == {
        "name": "default",
        "paused": True,
        "reason": "deploy",
        "waiting": 1,
        "running": 0,
    }
    assert paused.json()["change_time"] == "2023-11-14T22:13:20.000Z"
    assert claimed(house) == []
    why = client.get(f"/tasks/{task_id}/why").json()
    assert why["code"] in ("queue_paused", "no_worker")
    resumed = client.post("/queues/default/resume").json()
    assert (resumed["paused"], resumed["reason"]) == (False, None)
    assert len(claimed(house)) == 1


def test_a_queue_is_changed_field_by_field(client: TestClient, house: House) -> None:
    changed = client.patch("/queues/mail", json={"max_running": 2, "rate": "60/m", "max_depth": 9, "ageing": "30s"})
    assert changed.status_code == 200, changed.text
    view = changed.json()
    assert (view["max_running"], view["rate"], view["max_depth"], view["ageing"]) == (2, "60/m", 9, 30.0)
    view = client.patch("/queues/mail", json={"rate": None, "reason": "enough"}).json()
    assert (view["max_running"], view["rate"], view["reason"]) == (2, None, "enough")
    assert [row["name"] for row in client.get("/queues").json()["items"]] == ["mail"]
    assert client.get("/queues/none").status_code == 404


def test_what_is_wrong_is_named(client: TestClient) -> None:
    assert pointers(client.patch("/queues/mail", json={"max_running": -1, "rate": "often"})) == [
        "/max_running",
        "/rate",
    ]
    assert pointers(client.patch("/queues/mail", json={"max_runing": 1})) == ["/max_runing"]
    assert pointers(client.patch("/queues/mail", json={"paused": 1})) == ["/paused"]
    assert pointers(client.put("/limits/a", json={"reason": "x"})) == ["/max_running"]
    assert pointers(client.put("/limits/a", json={"max_running": True})) == ["/max_running"]
    assert pointers(client.put("/limits/.a", json={"max_running": 1})) == ["/name"]
    assert client.patch("/queues/mail", json=[1]).status_code == 422


def test_limits_are_set_and_taken_back(client: TestClient, house: House) -> None:
    made = client.put("/limits/tenant", json={"max_running": 3, "rate": "100/m", "reason": "quota"})
    assert made.status_code == 200
    assert (made.json()["max_running"], made.json()["rate"], made.json()["key"]) == (3, "100/m", None)
    key = client.put("/limits/tenant/acme%2Feu", json={"max_running": 1}).json()
    assert (key["key"], key["max_running"], key["rate"]) == ("acme/eu", 1, "100/m")
    assert client.get("/limits/tenant/other").json()["max_running"] == 3
    assert [row["key"] for row in client.get("/limits").json()["items"]] == [None, "acme/eu"]
    assert client.delete("/limits/tenant/acme/eu").status_code == 204
    assert client.delete("/limits/tenant/acme/eu").status_code == 404
    assert client.get("/limits/none").status_code == 404
    assert client.get("/limits/tenant/acme/eu").json()["max_running"] == 3


def test_a_task_names_its_limits_and_is_held_by_them(client: TestClient, house: House) -> None:
    client.put("/limits/tenant", json={"max_running": 1})
    first = submit(client, limits=["tenant/acme"])
    second = submit(client, limits=["tenant/acme"])
    assert client.get(f"/tasks/{first}?fields=limits").json()["limits"] == ["tenant/acme"]
    assert claimed(house) == [first]
    assert client.get(f"/tasks/{second}").json()["state"] == "blocked"
    why = client.get(f"/tasks/{second}/why").json()
    assert (why["code"], why["params"]["running"], why["params"]["max_running"]) == ("limit_full", 1, 1)
    assert why["blocking"] == ["/limits/tenant/acme"]
    assert "1 of at most 1" in why["text"]
    house.clock.advance(2 * SECOND)
    assert pointers(client.post("/tasks", json={"name": "render", "limits": ["none"]})) == ["/limits"]


def test_a_function_is_limited(client: TestClient, house: House) -> None:
    house.do(house.storage.put_functions([each.row(seen_at=house.clock.wall()) for each in house.functions]))
    changed = client.patch("/functions/render", json={"max_running": 1})
    assert changed.status_code == 200, changed.text
    assert changed.json()["limits"] == {"max_running": 1, "rate": None}
    first, second = submit(client), submit(client)
    assert claimed(house) == [first]
    assert client.get(f"/tasks/{second}/why").json()["code"] == "function_full"
    assert client.patch("/functions/none", json={"max_running": 1}).status_code == 404


def test_a_rate_says_until_when(client: TestClient, house: House) -> None:
    client.put("/limits/mail", json={"rate": "1/m"})
    submit(client, limits=["mail"])
    second = submit(client, limits=["mail"])
    assert len(claimed(house)) == 1
    why = client.get(f"/tasks/{second}/why").json()
    assert (why["code"], why["params"]["rate"]) == ("rate", "1/m")
    assert why["params"]["until"].startswith("2023-11-14T22:14:20")


@pytest.mark.parametrize("depth", [1, 2])
def test_a_full_queue_sheds_load(client: TestClient, house: House, depth: int) -> None:
    client.patch("/queues/default", json={"max_depth": depth})
    for _ in range(depth):
        submit(client)
    refused = client.post("/tasks", json={"name": "add"})
    assert (refused.status_code, refused.json()["error"]) == (429, "queue-full")
    assert int(refused.headers["retry-after"]) >= 1
    assert client.post("/tasks", json={"name": "add", "queue": "other"}).status_code == 201


def test_a_queue_is_shared_by_tenants(client: TestClient, house: House) -> None:
    big = [submit(client, headers={"tenant": "big"}) for _ in range(3)]
    assert client.patch("/queues/default", json={"fair": "tenant"}).json()["fair"] == "tenant"
    house.clock.advance(2 * SECOND)
    small = submit(client, headers={"tenant": "small"})
    claim = Claim("w1", 2, tuple((kind, 2) for kind in EXECUTORS))
    reply = house.do(house.storage.exchange([], claim, now=house.clock.now()))
    assert ({task.id for task in reply.claimed}, reply.gated) == ({big[0], small}, True)
    assert client.patch("/queues/default", json={"fair": None}).json()["fair"] is None
    assert client.patch("/queues/default", json={"fair": False}).json()["fair"] is None
    for wrong in ("", 7, True, "a\nb", "x" * 200):
        assert pointers(client.patch("/queues/default", json={"fair": wrong})) == ["/fair"]
