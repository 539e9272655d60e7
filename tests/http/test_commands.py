"""Commands over HTTP: either a function or a command, what is refused and why, and what a task shows of its command."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from angelica.clock import SECOND
from angelica.domain.command import AllowList, Command
from angelica.domain.exit_code import exited_text, signalled_text
from angelica.domain.outcome import Crashed, Failed, Succeeded
from angelica.domain.task import TaskError
from angelica.domain.usage import Usage
from tests.http.house import House

TRAIN = "python train.py --epoch 100"
JOB = {"task_id": "job-001", "command": TRAIN, "resources": {"cpu": 2, "memory": "4GB"}}
ALLOWED = AllowList([Command("train", "python train.py --epoch {int}", "/usr/bin/python3", timeout=60 * SECOND)])


@pytest.fixture
def client(house: House) -> Iterator[TestClient]:
    house.settings.commands = ALLOWED
    with house.client() as client:
        yield client


def test_the_command_is_on_disk_and_shows_what_it_is(client: TestClient, house: House) -> None:
    answer = client.post("/tasks", json=JOB)
    task = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, "/tasks/job-001")
    assert (task["kind"], task["command"], task["name"]) == ("command", TRAIN, "command:train")
    assert (task["output"], task["usage"], task["status"], task["logs_url"]) == (
        None, None, "PENDING", "/tasks/job-001/logs",
    )  # fmt: skip
    more = client.get("/tasks/job-001?fields=executor,resources,timeout,args").json()
    assert more == {
        "task_id": "job-001", "executor": "command", "resources": {"cpu": 2.0, "memory": 4_000_000_000},
        "timeout": 60.0, "args": [],
    }  # fmt: skip
    assert client.post("/tasks", json=JOB).status_code == 200
    assert client.post("/tasks", json={**JOB, "resources": {"cpu": 1}}).status_code == 409
    assert [item["task_id"] for item in client.get("/tasks?name=command:*").json()["items"]] == ["job-001"]


def test_off_is_403_and_nothing_is_stored(house: House) -> None:
    with house.client() as client:
        answer = client.post("/tasks", json=JOB)
        assert (answer.status_code, answer.json()["error"]) == (403, "commands-disabled")
        assert client.get("/tasks/job-001").status_code == 404


def test_what_no_pattern_takes_is_403_with_the_nearest(client: TestClient) -> None:
    for text in ("rm -rf /", "python train.py --epoch 100; id", "python train.py"):
        answer = client.post("/tasks", json={"command": text})
        assert (answer.status_code, answer.json()["error"]) == (403, "command-not-allowed")
        assert answer.json()["near"] == "python train.py --epoch {int}"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"command": "python train.py --epoch x"}, "/command"),
        ({"command": "python train.py --epoch '"}, "/command"),
        ({"command": 5}, "/command"),
        ({"command": TRAIN, "name": "add"}, "/command"),
        ({"command": TRAIN, "kwargs": {"a": 1}}, "/kwargs"),
        ({"command": TRAIN, "args": [1]}, "/args"),
        ({"command": TRAIN, "resources": {"memory": "lots"}}, "/resources/memory"),
        ({"command": TRAIN, "resources": {"disk": 1}}, "/resources/disk"),
        ({"name": "add", "resources": {"cpu": "two"}}, "/resources/cpu"),
        ({}, "/name"),
    ],
)
def test_a_bad_parameter_is_422_with_its_field(client: TestClient, body: dict[str, object], pointer: str) -> None:
    answer = client.post("/tasks", json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_options_work_as_for_functions_but_the_configured_time_out_stays(client: TestClient) -> None:
    body = {"command": TRAIN, "delay": 60, "priority": 5, "unique": "nightly", "retries": 1, "timeout": "5m"}
    first, second = client.post("/tasks", json=body), client.post("/tasks", json=body)
    assert (first.status_code, second.status_code) == (201, 200)
    task = client.get(f"/tasks/{first.json()['task_id']}?fields=state,priority,retries,timeout").json()
    assert (task["state"], task["priority"], task["retries"], task["timeout"]) == ("scheduled", 5, 1, 60.0)
    quick = client.post("/tasks", json={"command": TRAIN, "timeout": "5s"}).json()["task_id"]
    assert client.get(f"/tasks/{quick}?fields=timeout").json()["timeout"] == 5.0
    none = client.post("/tasks", json={"command": TRAIN, "timeout": None}).json()["task_id"]
    assert client.get(f"/tasks/{none}?fields=timeout").json()["timeout"] == 60.0


def test_a_batch_holds_both(client: TestClient) -> None:
    batch = {"tasks": [{"name": "add"}, {"command": TRAIN}], "atomic": True}
    assert client.post("/tasks/batch", json=batch).status_code == 201
    refused = client.post("/tasks/batch", json={"tasks": [{"command": TRAIN}, {"command": "id"}]})
    assert (refused.status_code, refused.json()["error"]) == (403, "command-not-allowed")
    each = client.post("/tasks/batch", json={"tasks": [{"command": TRAIN}, {"command": "id"}], "atomic": False}).json()
    assert [item.get("problem", {}).get("status") for item in each["items"]] == [None, 403]


def test_how_it_ended_is_shown_with_what_it_took(client: TestClient, house: House) -> None:
    took = Usage(12.3456, 64 << 20, "cgroup v2")
    ends = [
        Succeeded('{"exit_code":0,"seconds":1.5}', usage=took),
        Failed(TaskError("exit_code", message=exited_text(3)), final=True, usage=took),
        Failed(TaskError("exit_code", message=signalled_text(9)), final=True),
        Crashed(TaskError("out_of_memory"), usage=took),
    ]
    shown = []
    for end in ends:
        task_id = client.post("/tasks", json={"command": TRAIN, "max_crashes": 0}).json()["task_id"]
        house.end(house.claim(), end)
        task = client.get(f"/tasks/{task_id}").json()
        shown.append((task["output"], task["usage"] and task["usage"]["peak_memory"]))
        (attempt,) = client.get(f"/tasks/{task_id}/attempts").json()["items"]
        assert attempt["usage"] == task["usage"]
    assert shown == [
        ({"exit_code": 0, "signal": None}, 64 << 20),
        ({"exit_code": 3, "signal": None}, 64 << 20),
        ({"exit_code": None, "signal": 9}, None),
        (None, 64 << 20),
    ]
    assert client.get(f"/tasks/{task_id}").json()["usage"] == {
        "cpu_seconds": 12.346, "peak_memory": 64 << 20, "source": "cgroup v2",
    }  # fmt: skip


def test_what_is_larger_than_every_live_worker_is_accepted_with_a_warning(client: TestClient, house: House) -> None:
    assert "warnings" not in client.post("/tasks", json={"command": TRAIN, "resources": {"cpu": 64}}).json()
    house.claim_nothing(cpu=2.0, memory=1 << 30, functions=("command:train", "add"))
    large = client.post("/tasks", json={"command": TRAIN, "task_id": "large", "resources": {"cpu": 64}})
    assert large.status_code == 201
    (warning,) = large.json()["warnings"]
    assert "needs 64 CPUs, and no live worker has that" in warning
    assert client.get("/tasks/large/why").json()["code"] == "no_worker_fits"
    assert "warnings" not in client.post("/tasks", json={"name": "add", "resources": {"cpu": 2}}).json()
    batch = client.post("/tasks/batch", json={"tasks": [{"name": "add", "resources": {"memory": "2GiB"}}]}).json()
    assert len(batch["items"][0]["warnings"]) == 1


def test_what_a_command_needs_is_in_its_table_unless_the_task_says_it(house: House) -> None:
    command = Command("train", "python train.py --epoch {int}", "/usr/bin/python3", resources={"cpu": 64.0})
    house.settings.commands = AllowList([command])
    house.claim_nothing(cpu=2.0, memory=1 << 30, functions=("command:train",))
    with house.client() as client:
        default = client.post("/tasks", json={"command": TRAIN, "task_id": "default"}).json()
        assert "needs 64 CPUs" in default["warnings"][0]
        assert client.get("/tasks/default?fields=resources").json()["resources"] == {"cpu": 64.0}
        for said in ({"cpu": 1.0}, {}):
            made = client.post("/tasks", json={"command": TRAIN, "resources": said}).json()
            assert "warnings" not in made
            assert client.get(f"/tasks/{made['task_id']}?fields=resources").json()["resources"] == said


def test_a_command_is_shown_with_the_limits_that_its_runs_suggest(client: TestClient, house: House) -> None:
    assert client.get("/functions/command:none").status_code == 404
    shown = client.get("/functions/command:train").json()
    assert (shown["executor"], shown["doc"], shown["schema"], shown["defaults"]) == (
        "command", "python train.py --epoch {int}", None, None,
    )  # fmt: skip
    assert shown["suggestion"]["runs"] == 0
    for _ in range(10):
        client.post("/tasks", json={"command": TRAIN})
        house.end(house.claim(), Succeeded('{"exit_code":0}', usage=Usage(0.5, 100 << 20, "cgroup v2")))
    made = client.get("/functions/command:train").json()["suggestion"]
    assert (made["runs"], made["timeout"], made["resources"]) == (10, 2.0, {"cpu": 0.6, "memory": 128 << 20})
    assert made["seen"]["peak_memory"] == {"p95": 100 << 20, "max": 100 << 20}
    assert made["text"] == 'timeout = "2s", cpu = 0.6, memory = "128MiB" (from the latest 10 runs).'
    assert client.patch("/functions/command:train", json={"max_running": 1}).json()["limits"]["max_running"] == 1


def test_a_command_of_another_configuration_is_shown_if_a_worker_has_it(house: House) -> None:
    house.claim_nothing(functions=("command:far",))
    with house.client() as client:
        assert client.get("/functions/command:far").json()["doc"] == ""
        assert client.get("/functions/command:near").status_code == 404


def test_the_document_knows_of_commands(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["NewTask"]["oneOf"] == [{"required": ["name"]}, {"required": ["command"]}]
    assert {"command", "output", "usage", "kind", "warnings"} <= set(schemas["Task"]["properties"])
    assert set(schemas["UsageView"]["properties"]) == {"cpu_seconds", "peak_memory", "source"}
