from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route

from angelica.contrib.background import DurableTasks, NotRegistered
from angelica.contrib.starlette import accepted, lifespan, mount
from tests.http.house import House, browse

ADD = {"name": "add", "kwargs": {"a": 1, "b": 2}}


def asleep() -> House:
    house = House()
    house.started_at = None
    return house


def test_the_lifespan_goes_to_the_host() -> None:
    house = asleep()
    app = Starlette(lifespan=lambda app: lifespan(house, app))
    mount(house, app, "/angelica")
    with browse(app) as client:
        assert house.starts == 1
        answer = client.post("/angelica/tasks", json=ADD)
        assert answer.status_code == 201
        assert answer.headers["location"].startswith("/angelica/tasks/")
        assert answer.json()["logs_url"].startswith("/angelica/tasks/")
        assert client.get(answer.headers["location"]).status_code == 200
        assert client.get("/angelica/api/v1/tasks").status_code == 200
        assert client.get("/angelica/nothing").json()["error"] == "not-found"
        assert client.get("/angelica/docs").status_code == 200
        assert client.get("/angelica/openapi.json").json()["servers"][0]["url"] == "/angelica"
    assert house.starts == 0


def test_the_hosts_own_lifespan_is_around_ours() -> None:
    house = asleep()
    told: list[str] = []

    @asynccontextmanager
    async def mine(app: Starlette) -> AsyncIterator[dict[str, str]]:
        told.append(f"open, engine {house.starts}")
        yield {"pool": "p"}
        told.append(f"closed, engine {house.starts}")

    async def pool(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.state.pool)

    app = Starlette(routes=[Route("/pool", pool)], lifespan=lifespan(house, mine))
    with browse(app) as client:
        assert house.starts == 1
        assert client.get("/pool").text == "p"
    assert told == ["open, engine 0", "closed, engine 0"]


def test_a_host_lifespan_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match=r"lifespan=engine\.lifespan"):
        lifespan(House(), 7)


def test_without_the_lifespan_the_first_request_says_so() -> None:
    house = asleep()
    app = Starlette()
    mount(house, app, "/angelica")
    answer = browse(app).get("/angelica/tasks")
    assert (answer.status_code, answer.json()["error"]) == (503, "engine-not-started")
    assert "FastAPI(lifespan=engine.lifespan)" in answer.json()["detail"]


async def own(request: Request) -> PlainTextResponse:
    return PlainTextResponse("mine")


def test_beside_the_hosts_routes(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    app = Starlette(routes=[Route("/workers", own)])
    mount(house, app)
    app.router.routes.append(Route("/functions", own))
    app.router.routes.append(Route("/tasks/special", own))
    app.router.routes.append(Route("/docs", own))
    app.router.routes.append(Route("/later/{name}", own))
    app.router.routes.append(Mount("/sub", routes=[Route("/tasks", own)]))
    client = browse(app)
    with caplog.at_level(logging.WARNING):
        for path in ("/workers", "/functions", "/tasks/special", "/docs", "/later/x", "/sub/tasks"):
            assert client.get(path).text == "mine", path
    assert "/functions" in caplog.text
    assert client.post("/tasks", json=ADD).headers["location"].startswith("/tasks/")
    assert client.get("/api/v1/functions").status_code == 200
    assert client.get("/openapi.json").status_code == 404
    assert client.get("/").status_code == 404


def test_a_path_must_begin_with_a_slash() -> None:
    with pytest.raises(ValueError, match="must begin with"):
        mount(House(), Starlette(), "angelica")


def test_an_endpoint_that_hands_its_work_over(house: House) -> None:
    async def signup(request: Request) -> JSONResponse:
        function = house.functions.get("add")
        assert function is not None
        return accepted(house, await function.aenqueue(1, 2))

    app = Starlette(routes=[Route("/signup", signup, methods=["POST"])])
    mount(house, app, "/angelica")
    answer = browse(app).post("/signup")
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    assert browse(app).get(answer.headers["location"]).json()["name"] == "add"


def test_starlettes_background_takes_durable_tasks(house: House) -> None:
    async def order(request: Request) -> JSONResponse:
        tasks = DurableTasks()
        tasks.add_task(house.functions.get("add"), 1, b=2)
        tasks.add_task(house.functions.get("render"), x=1)
        return JSONResponse({}, background=tasks)  # type: ignore[arg-type]

    app = Starlette(routes=[Route("/order", order)])
    assert browse(app).get("/order").status_code == 200
    names = {task["name"] for task in house.client().get("/tasks").json()["items"]}
    assert names == {"add", "render"}


def test_a_plain_function_cannot_be_durable() -> None:
    def plain() -> None: ...

    with pytest.raises(NotRegistered, match=r"plain is not a registered function.*@engine\.task"):
        DurableTasks().add_task(plain)
