from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from angelica.http import sse
from tests.http.house import House


@pytest.fixture
def path(house: House, client: TestClient) -> str:
    """The log of an ended task with three lines."""
    task_id = client.post("/tasks", json={"name": "add", "kwargs": {"a": 1, "b": 2}}).json()["task_id"]
    task = house.claim()
    house.log(task, "one", "two")
    house.log(task, "oh no", stream="stderr", level="ERROR", start=3)
    house.end(task)
    return f"/tasks/{task_id}/logs"


def test_lines_as_json(client: TestClient, path: str) -> None:
    page = client.get(path).json()
    assert [line["message"] for line in page["items"]] == ["one", "two", "oh no"]
    assert page["items"][0] == {
        "cursor": "1-1", "attempt": 1, "time": "2023-11-14T22:13:20.000Z", "stream": "log", "level": "INFO",
        "logger": "app", "message": "one",
    }  # fmt: skip
    assert page["last"] == "1-3"


def test_lines_as_text_and_as_json_lines(client: TestClient, path: str) -> None:
    text = client.get(path, headers={"Accept": "text/plain"})
    assert (text.text, text.headers["content-type"]) == ("one\ntwo\noh no\n", "text/plain; charset=utf-8")
    lines = client.get(path, headers={"Accept": "application/x-ndjson"}).text.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["one", "two", "oh no"]
    assert client.get(path, headers={"Accept": "image/png"}).status_code == 406


def test_a_page_has_a_cursor(client: TestClient, path: str) -> None:
    page = client.get(path, params={"limit": 2}).json()
    assert page["next_cursor"] == "1-2"
    rest = client.get(path, params={"after": page["next_cursor"]}).json()
    assert [line["message"] for line in rest["items"]] == ["oh no"]
    assert rest["next_cursor"] is None


def test_lines_are_filtered(client: TestClient, path: str) -> None:
    assert [line["message"] for line in client.get(f"{path}?stream=stderr").json()["items"]] == ["oh no"]
    assert [line["message"] for line in client.get(f"{path}?level=error").json()["items"]] == ["oh no"]
    assert client.get(f"{path}?attempt=2").json()["items"] == []
    assert client.get(f"{path}?stream=syslog").status_code == 400


def events(text: str) -> list[dict[str, str]]:
    blocks = [block for block in text.split("\n\n") if "event:" in block]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


def test_a_tail_ends_with_the_task(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.text.startswith("retry: 2000\n\n")
    told = events(answer.text)
    assert [(each["event"], each.get("id")) for each in told] == [
        ("log", "1-1"), ("log", "1-2"), ("log", "1-3"), ("end", None),
    ]  # fmt: skip
    assert json.loads(told[-1]["data"])["status"] == "SUCCEEDED"


def test_a_tail_resumes_after_the_last_event(client: TestClient, path: str) -> None:
    accept = {"Accept": "text/event-stream"}
    told = events(client.get(path, headers={**accept, "Last-Event-ID": "1-2"}).text)
    assert [each.get("id") for each in told] == ["1-3", None]
    assert client.get(path, headers={**accept, "Last-Event-ID": "x"}).json()["error"] == "invalid-header"


def test_a_tail_ends_when_the_engine_stops(client: TestClient, house: House) -> None:
    task_id = client.post("/tasks", json={"name": "add", "kwargs": {"a": 1, "b": 2}}).json()["task_id"]
    house.state = "SHUTDOWN"
    answer = client.get(f"/tasks/{task_id}/logs", headers={"Accept": "text/event-stream"})
    assert events(answer.text) == []


def test_followers_are_bounded() -> None:
    followers = sse.Followers(limit=2)
    followers.open["ci"] = 2
    followers.check("other")
    with pytest.raises(Exception, match="2 streams"):
        followers.check("ci")
