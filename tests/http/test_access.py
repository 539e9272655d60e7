from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from angelica.http.app import create_app
from angelica.http.host import Principal
from angelica.http.routes import endpoints
from angelica.http.table import pattern
from tests.http.house import LOOPBACK, TOKEN, House

STORES = ("memory",)  # who may call is decided before a store is asked

STRANGER = ("203.0.113.7", 40_000)
TABLE = endpoints()

# Written by hand on purpose: a new address must be put here by somebody who has thought about who may use it.
OPEN = {
    "GET /", "GET /health", "GET /livez", "GET /readyz", "GET /openapi.json", "GET /docs", "GET /docs/{file}",
    "GET /problems/{slug}",
}  # fmt: skip
GUARDED = {
    "POST /tasks", "GET /tasks", "POST /tasks/batch", "POST /trigger/{name}", "GET /tasks/{task_id}",
    "DELETE /tasks/{task_id}", "POST /tasks/{task_id}/cancel", "POST /tasks/{task_id}/retry",
    "GET /tasks/{task_id}/logs",
    "GET /tasks/{task_id}/why", "GET /tasks/{task_id}/attempts", "GET /tasks/{task_id}/events",
    "GET /tasks/{task_id}/result", "GET /functions", "GET /functions/{name}", "GET /workers", "GET /api/status",
    "GET /workers/{worker_id}", "POST /workers/{worker_id}/drain", "POST /workers/{worker_id}/resume",
    "POST /workers/{worker_id}/stop", "GET /breakers", "GET /breakers/{name}", "PATCH /breakers/{name}",
    "GET /queues", "GET /queues/{name}", "PATCH /queues/{name}", "POST /queues/{name}/pause",
    "POST /queues/{name}/resume", "PATCH /functions/{name}", "GET /limits", "GET /limits/{name}", "PUT /limits/{name}",
    "DELETE /limits/{name}", "GET /limits/{name}/{key}", "PUT /limits/{name}/{key}", "DELETE /limits/{name}/{key}",
    "POST /schedules", "GET /schedules", "POST /schedules/batch", "POST /schedules/preview", "POST /schedules/rehearse",
    "GET /schedules/calendar", "GET /schedules/{schedule_id}", "PUT /schedules/{schedule_id}",
    "PATCH /schedules/{schedule_id}", "DELETE /schedules/{schedule_id}", "GET /schedules/{schedule_id}/next",
    "GET /schedules/{schedule_id}/fires", "POST /schedules/{schedule_id}/pause",
    "POST /schedules/{schedule_id}/resume", "POST /schedules/{schedule_id}/trigger",
    "POST /schedules/{schedule_id}/backfill", "POST /schedules/{schedule_id}/reset", "GET /operations/{operation_id}",
    "POST /task/add", "POST /schedule",
}  # fmt: skip


def test_the_matrix_has_every_route() -> None:
    assert {f"{endpoint.method} {endpoint.path}" for endpoint in TABLE} == OPEN | GUARDED
    assert {f"{endpoint.method} {endpoint.path}" for endpoint in TABLE if endpoint.scope == "open"} == OPEN


def test_what_is_served_is_the_table(house: House) -> None:
    served = {route.path for route in create_app(house).routes if isinstance(route, Route)}
    paths = {pattern(endpoint.path) for endpoint in TABLE}
    assert served == paths | {f"/api/v1{path}" for path in paths if path != "/"}


def call(client: TestClient, endpoint: str, prefix: str, headers: dict[str, str]) -> int:
    method, path = endpoint.split(" ")
    address = prefix + re.sub(r"\{\w+\}", "nothing", path)
    return client.request(method, address, headers=headers).status_code


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
@pytest.mark.parametrize("endpoint", sorted(GUARDED))
def test_a_guarded_route_needs_a_token(house: House, endpoint: str, prefix: str) -> None:
    client = house.client("token", client=STRANGER)
    assert call(client, endpoint, prefix, {}) == 401
    assert call(client, endpoint, prefix, {"Authorization": f"Bearer {TOKEN}x"}) == 401
    assert call(client, endpoint, prefix, {"Authorization": f"Basic {TOKEN}"}) == 401
    assert call(client, endpoint, prefix, {"Authorization": f"Bearer {TOKEN}"}) not in (401, 403, 500)
    assert call(house.client("token"), endpoint, prefix, {}) == 401  # loopback is no token


@pytest.mark.parametrize("endpoint", sorted(OPEN))
def test_an_open_route_needs_none(house: House, endpoint: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert call(house.client("token", client=STRANGER), endpoint, "", headers) in (200, 404)


def test_a_refusal_says_how(house: House) -> None:
    answer = house.client("token", client=STRANGER).get("/tasks")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["error"] == "unauthorized"


def test_the_caller_is_kept(house: House) -> None:
    client = house.client("token", client=STRANGER, headers={"Authorization": f"Bearer {TOKEN}"})
    assert client.post("/tasks", json={"name": "add", "kwargs": {"a": 1, "b": 2}}).json()["created_by"] == "token:ci"


def test_health_says_more_to_who_is_known(house: House) -> None:
    client = house.client("token", client=STRANGER)
    assert set(client.get("/health").json()) == {"status", "timestamp"}
    assert "detail" in client.get("/health", headers={"Authorization": f"Bearer {TOKEN}"}).json()


def test_dev_serves_only_this_machine(house: House) -> None:
    assert house.client("dev").get("/tasks").status_code == 200
    assert house.client("dev", client=STRANGER).get("/tasks").status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::2]"])
@pytest.mark.parametrize("path", ["/tasks", "/health", "/docs", "/nothing"])
def test_a_foreign_host_is_refused(house: House, host: str, path: str) -> None:
    answer = house.client("dev").get(path, headers={"Host": host})
    expected = (404, "not-found") if path == "/nothing" else (421, "wrong-host")
    assert (answer.status_code, answer.json()["error"]) == expected
    assert path == "/nothing" or house.client("token").get(path, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8765", "127.0.0.1:1", "[::1]:8765", "tasks.example"])
def test_a_known_host_is_served(house: House, host: str) -> None:
    house.settings.allowed_hosts = ("tasks.example",)
    assert house.client("dev").get("/tasks", headers={"Host": host}).status_code == 200


def test_a_proxy_may_bring_its_public_name(house: House) -> None:
    headers = {"Host": "public.example", "X-Forwarded-For": "203.0.113.7", "Authorization": f"Bearer {TOKEN}"}
    assert house.client("token").get("/tasks", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:9999"},
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "http://[bad"},
    ],
)  # fmt: skip
def test_a_write_from_another_site_is_refused(house: House, headers: dict[str, str]) -> None:
    for mode in ("dev", "token"):
        client = house.client(mode, headers={"Authorization": f"Bearer {TOKEN}"})  # type: ignore[arg-type]
        answer = client.post("/tasks", json={"name": "add", "kwargs": {"a": 1, "b": 2}}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "cross-site")
    assert house.client().get("/tasks").json()["items"] == []


def test_our_own_pages_may_write(house: House) -> None:
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    answer = house.client().post("/tasks", json={"name": "add", "kwargs": {"a": 1, "b": 2}}, headers=headers)
    assert answer.status_code == 201


def test_reading_from_another_site(house: House) -> None:
    assert house.client().get("/tasks", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    follow = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert house.client().get("/docs", headers=follow).status_code == 200


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_only_json_is_read(house: House, media: str) -> None:
    answer = house.client().post("/tasks", content=b'{"name":"add"}', headers={"content-type": media})
    assert (answer.status_code, answer.json()["error"]) == (415, "json-required")
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert house.client().post("/trigger/render", headers=form).status_code == 415


MOUNTED: list[tuple[dict[str, Any], dict[str, str], int]] = [
    ({}, {}, 200),
    ({"client": STRANGER}, {}, 401),
    ({}, {"Host": "evil.example"}, 401),
    ({}, {"X-Forwarded-For": "127.0.0.1"}, 401),
    ({}, {"Forwarded": "for=127.0.0.1"}, 401),
    ({"client": STRANGER}, {"Authorization": f"Bearer {TOKEN}", "Host": "any.example"}, 200),
    ({}, {"Authorization": "Bearer wrong"}, 401),
    ({"client": ("testclient", 1)}, {}, 401),
    ({"client": ("::ffff:127.0.0.1", 1)}, {}, 200),
]


@pytest.mark.parametrize(("options", "headers", "status"), MOUNTED)
def test_who_may_call_a_mounted_api(
    house: House, options: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    assert house.client("mounted", **options).get("/tasks", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("said", "status"),
    [(Principal("ann"), 200), ("ann", 200), (True, 200), (None, 401), (False, 401), ("", 401), (1, 401)],
)
def test_a_host_may_decide_itself(house: House, said: Any, status: int) -> None:
    async def later(request: Any) -> Any:
        return said

    for auth in (lambda request: said, later):
        assert house.client("mounted", auth=auth, client=STRANGER).get("/tasks").status_code == status
    assert house.client("mounted", auth=lambda request: None, client=LOOPBACK).get("/tasks").status_code == 401
