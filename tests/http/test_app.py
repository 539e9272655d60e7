from __future__ import annotations

import re
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from angelica.errors import StorageUnavailable
from angelica.http.answers import SECURITY
from angelica.http.problems import KINDS
from angelica.http.routes import endpoints
from angelica.storage.protocol import StoreStatus, StoreWarning
from tests.http.house import TOKEN, House

PATHS = [
    "/tasks",
    "/nothing",
    "/tasks/none",
    "/health",
    "/docs",
    "/docs/docs.js",
    "/openapi.json",
    "/livez",
    "/tasks?x=1",
]

NO_STORE = pytest.mark.parametrize("store", ["memory"])
"""For what is the same on all stores, and tried many times over."""


@NO_STORE
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_the_security_headers(client: TestClient, path: str) -> None:
    answer = client.get(path)
    for name, value in SECURITY:
        assert answer.headers[name.decode()] == value.decode()
    assert "cache-control" in answer.headers
    assert "access-control-allow-origin" not in answer.headers


def test_the_routers_own_404_is_a_problem(client: TestClient) -> None:
    for path in ("/nothing", "/tasks/", "/api/v1/nothing"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]) == (404, "not-found"), path
        assert answer.headers["content-type"] == "application/problem+json"


def test_another_method_is_405_with_all_that_are_allowed(client: TestClient) -> None:
    answer = client.put("/tasks", json={})
    assert (answer.status_code, answer.json()["error"]) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert client.options("/tasks").headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert client.request("BREW", "/tasks").status_code == 405


def test_head_is_get_without_a_body(client: TestClient) -> None:
    head, get = client.head("/tasks"), client.get("/tasks")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


def test_the_alias_links_to_itself(client: TestClient) -> None:
    answer = client.post("/api/v1/tasks", json={"name": "add", "kwargs": {"a": 1, "b": 2}})
    assert answer.headers["location"].startswith("/api/v1/tasks/")
    assert client.get(answer.json()["logs_url"]).status_code == 200
    assert client.get("/api/v1/nothing").status_code == 404


@NO_STORE
@pytest.mark.parametrize("slug", sorted(KINDS))
def test_every_problem_explains_itself(client: TestClient, slug: str) -> None:
    told = client.get(f"/problems/{slug}").json()
    assert (told["error"], told["status"]) == (slug, KINDS[slug].status)
    assert told["title"]
    assert told["text"]


def test_request_id_is_echoed_or_made(client: TestClient) -> None:
    assert client.get("/livez", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert len(client.get("/livez").headers["x-request-id"]) == 32
    assert len(client.get("/livez", headers={"X-Request-Id": "a b"}).headers["x-request-id"]) == 32


def test_the_problem_carries_the_callers_trace(client: TestClient) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    for header, same in ((f"00-{trace}-00f067aa0ba902b7-01", True), (f"00-{trace}", False), ("00-" + "0" * 32, False)):
        assert (client.get("/nothing", headers={"traceparent": header}).json()["trace_id"] == trace) is same


def test_what_is_too_large_is_refused(house: House) -> None:
    house.settings.body_limit = 1024
    client = house.client()
    big = b'{"name":"' + b"x" * 2000 + b'"}'
    json = {"content-type": "application/json"}
    answer = client.post("/tasks", content=big, headers=json)
    assert (answer.status_code, answer.json()["error"], answer.headers["connection"]) == (413, "too-large", "close")
    chunked = client.post("/tasks", content=iter([big[:1000], big[1000:]]), headers=json)
    assert chunked.status_code == 413
    assert client.get("/tasks?name=" + "x" * 9000).status_code == 414
    assert client.get("/tasks", headers={"x-big": "x" * 17_000}).status_code == 431


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200), ("*/*", 200), ("application/*", 200), ("text/html, */*;q=0.1", 200),
        ("text/html", 406), ("application/json;q=0", 200), ("image/png", 406), ("application/problem+json", 200),
    ],
)  # fmt: skip
def test_accept(client: TestClient, accept: str, status: int) -> None:
    assert client.get("/tasks", headers={"Accept": accept}).status_code == status


def test_health(client: TestClient, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")
    assert client.get("/livez").text == client.get("/readyz").text == "ok"
    house.state = "SHUTDOWN"
    assert client.get("/readyz").status_code == 503
    assert client.get("/livez").status_code == 200
    house.started_at = None
    assert client.get("/health").json()["failing"] == ["engine"]
    assert client.get("/health").status_code == 503


def test_what_a_store_warns_of_is_told_to_whom_may_know(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    status = house.do(house.storage.status())
    warned = replace(status, warnings=(StoreWarning("horizon", "pid 7 is idle", "select pg_terminate_backend(7)"),))

    async def say() -> StoreStatus:
        return warned

    monkeypatch.setattr(house.storage, "status", say)
    known = {"Authorization": f"Bearer {TOKEN}"}
    for client, told in ((house.client("token"), False), (house.client("token", headers=known), True)):
        answer = client.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (200, "healthy")
        assert ("pg_terminate_backend(7)" in answer.text) == told
    status = house.client("token", headers=known).get("/api/status").json()
    assert (status["failing"], len(status["store"]["warnings"])) == ([], 1)


def test_status_counts_tasks_and_queues(client: TestClient, house: House) -> None:
    for queue in ("mail", "mail", "etl"):
        client.post("/tasks", json={"name": "add", "kwargs": {"a": 1, "b": 2}, "queue": queue})
    house.end(house.claim())
    status = client.get("/api/status").json()
    assert (status["state"], status["version"]) == ("RUNNING", "0.1.0")
    assert status["tasks"] == {"PENDING": 2, "RUNNING": 0, "SUCCEEDED": 1, "FAILED": 0, "CANCELLED": 0}
    assert {queue["name"] for queue in status["queues"]} == {"mail", "etl"}
    assert status["process_memory"] > 1_000_000
    assert 0 < status["memory"] <= 100
    assert status["workers"]["count"] == 1


def test_a_storage_that_is_gone_is_503(client: TestClient, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*args: object, **kwargs: object) -> None:
        raise StorageUnavailable("no disk")

    monkeypatch.setattr(house.service, "list", gone)
    answer = client.get("/tasks")
    assert (answer.status_code, answer.json()["error"], answer.headers["retry-after"]) == (
        503,
        "store-unavailable",
        "1",
    )


def test_an_engine_that_was_never_started_says_so(client: TestClient, house: House) -> None:
    house.started_at = None
    answer = client.get("/tasks")
    assert (answer.status_code, answer.json()["error"]) == (503, "engine-not-started")
    assert "engine.lifespan" in answer.json()["detail"]


def test_functions_and_workers(client: TestClient, house: House) -> None:
    house.claim_nothing()
    names = [each["name"] for each in client.get("/functions").json()["items"]]
    assert {"add", "render"} <= set(names)
    function = client.get("/functions/add").json()
    assert set(function["schema"]["properties"]) >= {"a", "b"}
    assert function["versions"] == [1]
    assert function["suggestion"] == {
        "text": function["suggestion"]["text"], "runs": 0, "needed": 10, "measured": 0, "stopped": 0, "timeout": None,
        "resources": None,
        "seen": {"run_time": None, "cpu_seconds": None, "cpu_share": None, "peak_memory": None},
    }  # fmt: skip
    assert function["suggestion"]["text"].startswith("Not enough runs yet: none of the 10")
    assert client.get("/functions/none").status_code == 404
    assert client.get("/workers").json()["items"][0]["worker_id"] == "w-1"


def test_the_docs_load_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "http" not in page.replace("http-equiv", "")
    assert "<script>" not in page
    assert "onclick" not in page
    for name in ("docs.css", "docs.js"):
        assert name in page
        assert client.get(f"/docs/{name}").status_code == 200
    assert client.get("/docs/docs.html").status_code == 404


def test_the_table_is_documented(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    documented = {(m.upper(), path) for path, methods in document["paths"].items() for m in methods}
    assert documented == {(endpoint.method, endpoint.path) for endpoint in endpoints()}
    names = [op["operationId"] for methods in document["paths"].values() for op in methods.values()]
    assert len(names) == len(set(names))
    text = client.get("/openapi.json").text
    for reference in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        assert reference in document["components"]["schemas"]
