"""The real engine in a host application, on a real store."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

import angelica
from tests.http.house import browse
from tests.postgres.session import session


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_from_the_request_to_the_result(tmp_path: Path, kind: str) -> None:
    engine = angelica.Engine(tmp_path / "angelica.db" if kind == "sqlite" else session().fresh_url())
    app = FastAPI(lifespan=engine.lifespan)
    engine.mount(app, "/angelica")

    @engine.task
    async def greet(who: str) -> str:
        engine.log.info("greeting %s", who)
        return f"hello {who}"

    @app.post("/greet/{who}")
    async def greeting(who: str) -> object:
        return engine.accepted(await greet.aenqueue(who))

    @app.post("/quiet/{who}")
    async def quiet(who: str, bg: angelica.BackgroundTasks) -> None:
        bg.add_task(greet, who)

    with browse(app) as client:
        answer = client.post("/greet/ann")
        assert answer.status_code == 202
        task = client.get(answer.headers["location"], params={"wait": "10"}).json()
        assert (task["status"], task["result"]) == ("SUCCEEDED", "hello ann")
        logs = client.get(task["logs_url"], headers={"Accept": "text/event-stream"}).text
        assert "greeting ann" in logs
        assert client.get(f"{answer.headers['location']}/result").json() == "hello ann"
        assert client.post("/quiet/bob").status_code == 200
        body = {"name": greet.name, "kwargs": {"who": "eve"}}
        waited = client.post("/angelica/tasks", json=body, headers={"Prefer": "wait=10"})
        assert (waited.status_code, waited.json()["result"]) == (200, "hello eve")
        assert len(client.get("/angelica/tasks").json()["items"]) == 3
        assert client.get("/angelica/health").json()["status"] == "healthy"
        assert client.get("/angelica/api/status").json()["workers"]["count"] == 1
        assert client.get(f"/angelica/functions/{greet.name}").json()["schema"]["properties"]["who"]
    assert engine.state == "TERMINATED"
