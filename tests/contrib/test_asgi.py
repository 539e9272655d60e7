from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from angelica.contrib.asgi import BackgroundTaskMiddleware
from angelica.errors import QueueFull, StorageUnavailable
from tests.http.house import House


async def own(request: Request) -> PlainTextResponse:
    return PlainTextResponse("handled here: " + (await request.body()).decode())


def client(house: House, **options: Any) -> TestClient:
    methods = ["GET", "POST"]
    app = Starlette(routes=[Route("/reports/{id:int}", own, methods=methods), Route("/other", own, methods=methods)])
    house.mounted_at = "/angelica"
    return TestClient(BackgroundTaskMiddleware(app, house, {"/reports/{id:int}": "render"}, **options))


def test_a_matched_request_becomes_a_task(house: House) -> None:
    headers = {"User-Agent": "ua", "Authorization": "Bearer secret", "Cookie": "s=1"}
    answer = client(house).post("/reports/42?full=1&tag=a&tag=b", json={"rows": 3}, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    assert answer.headers["location"] == f"/angelica/tasks/{answer.json()['task_id']}"
    task = house.client().get(f"/tasks/{answer.json()['task_id']}?fields=name,kwargs").json()
    assert task["name"] == "render"
    assert task["kwargs"] == {
        "path": "/reports/42",
        "method": "POST",
        "params": {"id": 42},
        "query": {"full": "1", "tag": ["a", "b"]},
        "headers": {"user-agent": "ua", "content-type": "application/json"},
        "body": {"rows": 3},
    }


@pytest.mark.parametrize(("method", "path"), [("GET", "/reports/42"), ("POST", "/other"), ("POST", "/reports/abc")])
def test_what_does_not_match_passes_untouched(house: House, method: str, path: str) -> None:
    answer = client(house).request(method, path, content=b"raw")
    assert answer.status_code == (404 if path.endswith("abc") else 200)
    assert house.client().get("/tasks").json()["items"] == []


def test_a_predicate_and_a_preference_decide_too(house: House) -> None:
    assert client(house, predicate=lambda scope: False).post("/reports/1", content=b"x").text == "handled here: x"
    asked = client(house, only_if_preferred=True)
    assert asked.post("/reports/1").text == "handled here: "
    answer = asked.post("/reports/1", headers={"Prefer": "respond-async"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")


def test_a_request_may_wait_for_its_result(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(task_id: str, timeout: float) -> Any:
        assert timeout == 5.0
        return await house.service.get(task_id)

    monkeypatch.setattr(house.service, "wait", wait)
    answer = client(house).post("/reports/1", headers={"Prefer": "wait=5"})
    assert (answer.status_code, answer.headers["retry-after"]) == (202, "1")

    async def finish(task_id: str, timeout: float) -> Any:
        import asyncio

        await asyncio.to_thread(lambda: house.end(house.claim()))
        await asyncio.to_thread(lambda: house.end(house.claim()))
        return await house.service.get(task_id)

    monkeypatch.setattr(house.service, "wait", finish)
    answer = client(house).post("/reports/1", headers={"Prefer": "wait=5"})
    assert (answer.status_code, answer.json()["status"], answer.json()["result"]) == (200, "SUCCEEDED", 42)


@pytest.mark.parametrize(
    ("error", "status"), [(QueueFull("full"), 429), (StorageUnavailable("gone"), 503), (RuntimeError("x"), 500)]
)
def test_refusals_are_definite(house: House, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int) -> None:
    async def refuse(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(house.service, "submit", refuse)
    answer = client(house).post("/reports/1")
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status != 500)


def test_bodies_are_json_and_bounded(house: House) -> None:
    assert client(house).post("/reports/1", content=b"a=1").status_code == 415
    assert (
        client(house).post("/reports/1", content=b"{", headers={"content-type": "application/json"}).status_code == 400
    )
    house.settings.body_limit = 10
    assert client(house).post("/reports/1", json={"rows": "x" * 20}).status_code == 413


def test_the_same_key_makes_one_task(house: House) -> None:
    key = {"Idempotency-Key": "r-1"}
    first, second = client(house).post("/reports/1", headers=key), client(house).post("/reports/1", headers=key)
    assert first.json()["task_id"] == second.json()["task_id"]
    assert second.headers["idempotency-replayed"] == "true"


def test_an_engine_that_was_never_started_says_so(house: House) -> None:
    house.started_at = None
    assert client(house).post("/reports/1").json()["error"] == "engine-not-started"
