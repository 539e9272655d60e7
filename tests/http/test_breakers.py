"""Circuit breakers over HTTP: what is shown, and what an operator sets."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from angelica.clock import SECOND
from angelica.domain.outcome import Failed, Outcome
from angelica.domain.task import TaskError
from tests.http.house import House

BAD = Failed(TaskError("exception", "ConnectionError", "gone", "", "f", 1), final=True)


def submit(client: TestClient) -> str:
    answer = client.post("/tasks", json={"name": "charge"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["task_id"])


def shown(client: TestClient, name: str = "stripe") -> dict[str, Any]:
    answer = client.get(f"/breakers/{name}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def run(client: TestClient, house: House, count: int, outcome: Outcome) -> None:
    for _ in range(count):
        submit(client)
        house.end(house.claim(), outcome)


def declared(house: House) -> None:
    async def charge() -> None: ...

    house.functions.declare(charge, name="charge", uses="stripe", latency="2s")
    house.claim_nothing()


def test_a_breaker_is_there_as_soon_as_a_function_uses_it(client: TestClient, house: House) -> None:
    assert client.get("/breakers").json()["items"] == []
    assert client.get("/breakers/stripe").status_code == 404
    declared(house)
    assert [row["name"] for row in client.get("/breakers").json()["items"]] == ["stripe"]
    row = shown(client)
    assert (row["state"], row["calls"], row["held"], row["forced"]) == ("closed", 0, 0, False)


def test_one_that_has_tripped_says_so_and_why_a_task_waits(client: TestClient, house: House) -> None:
    declared(house)
    run(client, house, 10, BAD)
    row = shown(client)
    assert (row["state"], row["trips"]) == ("open", 1)
    assert row["tries_at"] == "2023-11-14T22:13:50.000Z"
    waiting = submit(client)
    house.do(house.storage.exchange([], _claim(), now=house.clock.now()))
    task = client.get(f"/tasks/{waiting}").json()
    assert (task["state"], task["why"]) == ("blocked", {"code": "breaker_open", "params": {"breaker": "stripe"}})
    why = client.get(f"/tasks/{waiting}/why").json()
    assert (why["code"], why["blocking"]) == ("breaker_open", ["/breakers/stripe"])
    assert why["params"]["until"] == "2023-11-14T22:13:50.000Z"
    assert why["text"].startswith("stripe, which it uses, has failed and is left alone")
    house.clock.advance(30 * SECOND)
    assert shown(client)["state"] == "half_open"


def _claim() -> Any:
    from angelica.storage.protocol import Claim

    return Claim("w-1", 1, (("async", 1),))


def test_an_operator_keeps_one_open_and_resets_it(client: TestClient, house: House) -> None:
    declared(house)
    answer = client.patch("/breakers/stripe", json={"state": "open", "reason": "they migrate"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["state"], answer.json()["forced"], answer.json()["reason"]) == ("open", True, "they migrate")
    waiting = submit(client)
    house.do(house.storage.exchange([], _claim(), now=house.clock.now()))
    assert client.get(f"/tasks/{waiting}/why").json()["text"].endswith(": they migrate.")
    assert client.patch("/breakers/stripe", json={"state": "reset"}).json()["forced"] is False
    assert house.claim().id == waiting
    assert client.patch("/breakers/stripe", json={"state": "closed"}).json()["state"] == "closed"


def test_what_cannot_be_set_is_refused(client: TestClient, house: House) -> None:
    declared(house)
    for body in ({}, {"state": "half_open"}, {"state": 1}, {"state": "open", "reason": "x" * 1001}, {"phase": "open"}):
        answer = client.patch("/breakers/stripe", json=body)
        assert (answer.status_code, answer.json()["error"]) == (422, "validation-failed"), body
    assert client.patch("/breakers/none", json={"state": "reset"}).status_code == 404
