from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException

import angelica
from angelica.contrib.fastapi import router
from angelica.contrib.starlette import lifespan, mount
from angelica.domain.task import Task
from angelica.errors import QueueFull
from angelica.http.routes import endpoints
from tests.http.house import House, browse

ADD = {"name": "add", "kwargs": {"a": 1, "b": 2}}


def key(x_key: Annotated[str, Header()] = "") -> None:
    if x_key != "sesame":
        raise HTTPException(401, "no key")


def test_routes_added_one_by_one_leave_the_hosts_in_place(house: House) -> None:
    app = FastAPI(lifespan=lambda app: lifespan(house, app))
    mount(house, app)

    @app.get("/hello/{name}")
    async def hello(name: str) -> str:
        return name

    @app.get("/workers")
    async def workers() -> str:
        return "mine"

    with browse(app) as client:
        assert client.get("/hello/ann").json() == "ann"
        assert client.get("/workers").json() == "mine"
        assert client.post("/tasks", json=ADD).status_code == 201
        assert "Swagger" in client.get("/docs").text
        assert set(client.get("/openapi.json").json()["paths"]) == {"/hello/{name}", "/workers"}


def test_a_router_is_guarded_by_its_dependencies(house: House) -> None:
    app = FastAPI()
    app.include_router(router(house, prefix="/jobs", dependencies=[Depends(key)]))
    client = browse(app, client=("203.0.113.7", 1))
    assert client.post("/jobs/tasks", json=ADD).status_code == 401
    answer = client.post("/jobs/tasks", json=ADD, headers={"X-Key": "sesame"})
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/jobs/tasks/{answer.json()['task_id']}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    refused = client.post("/jobs/tasks", json={**ADD, "priority": 999}, headers={"X-Key": "sesame"})
    assert (refused.status_code, refused.json()["error"]) == (422, "validation-failed")
    logs = client.get(answer.json()["logs_url"], headers={"X-Key": "sesame", "Accept": "text/plain"})
    assert logs.status_code == 200
    client.delete(answer.headers["location"], headers={"X-Key": "sesame"})
    tail = client.get(answer.json()["logs_url"], headers={"X-Key": "sesame", "Accept": "text/event-stream"})
    assert "event: end" in tail.text


def test_a_router_without_dependencies_keeps_our_rule(house: House) -> None:
    app = FastAPI()
    app.include_router(router(house), prefix="/outer")
    assert browse(app, client=("203.0.113.7", 1)).get("/outer/tasks").status_code == 401
    assert browse(app).get("/outer/tasks").status_code == 200


def test_a_router_shows_in_the_hosts_document(house: House) -> None:
    app = FastAPI()
    app.include_router(router(house, prefix="/jobs"))
    document = app.openapi()
    expected = {(f"/jobs{each.path}", each.method.lower()) for each in endpoints() if each.site}
    assert {(path, method) for path, methods in document["paths"].items() for method in methods} == expected
    create = document["paths"]["/jobs/tasks"]["post"]
    body = create["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) >= {"name", "kwargs", "task_id"}
    assert "201" in create["responses"]
    assert "#/components/schemas/Task" not in str(document)


def ordering(house: House) -> FastAPI:
    app = FastAPI()
    add = house.functions.get("add")

    @app.post("/order")
    async def order(bg: angelica.BackgroundTasks, fail: bool = False) -> dict[str, bool]:
        bg.add_task(add, 1, b=2)
        bg.add_task(add, 3, b=4)
        if fail:
            raise HTTPException(409, "no")
        return {"ok": True}

    @app.post("/sync-order")
    def sync_order(bg: angelica.BackgroundTasks) -> dict[str, bool]:
        bg.add_task(add, 1, b=2)
        return {"ok": True}

    @app.post("/plain")
    async def plain(bg: angelica.BackgroundTasks) -> None:
        bg.add_task(print, "hi")

    return app


def tasks_of(house: House) -> list[Task]:
    from angelica.storage.protocol import TaskFilter

    return list(house.do(house.storage.list_tasks(TaskFilter())).items)


@pytest.mark.parametrize(("path", "count"), [("/order", 2), ("/sync-order", 1)])
def test_background_tasks_are_durable(house: House, path: str, count: int) -> None:
    assert browse(ordering(house)).post(path).json() == {"ok": True}
    assert [task.function for task in tasks_of(house)] == ["add"] * count


def test_an_endpoint_that_raises_submits_nothing(house: House) -> None:
    assert browse(ordering(house)).post("/order?fail=true").status_code == 409
    assert tasks_of(house) == []


def test_the_client_never_sees_success_for_what_was_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*args: Any, **kwargs: Any) -> Any:
        raise QueueFull("full")

    monkeypatch.setattr(house, "submit_call", full)
    answer = browse(ordering(house)).post("/order")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


def test_a_plain_function_is_a_clear_error(house: House) -> None:
    with pytest.raises(TypeError, match=r"print is not a registered function"):
        browse(ordering(house)).post("/plain")


def test_background_tasks_stay_out_of_the_document(house: House) -> None:
    order = ordering(house).openapi()["paths"]["/order"]["post"]
    assert "requestBody" not in order
    assert [each["name"] for each in order["parameters"]] == ["fail"]
