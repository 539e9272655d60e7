"""Schedules over HTTP: definitions, versions, what is wrong, times, fires, actions, and the required spellings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from angelica.clock import DAY, HOUR, SECOND
from tests.http.house import House

NIGHTLY = {"schedule_id": "nightly", "name": "render", "cron": "0 0 2 * * ?", "timezone": "Asia/Shanghai"}


@pytest.fixture
def client(house: House) -> Iterator[TestClient]:
    with house.client() as client:
        yield client


def made(client: TestClient, **more: Any) -> dict[str, Any]:
    answer = client.post("/schedules", json={**NIGHTLY, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_schedule_is_created_and_says_what_it_will_do(client: TestClient) -> None:
    answer = client.post("/schedules", json={**NIGHTLY, "kwargs": {"page": 1}, "task": {"queue": "mail", "retries": 2}})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/schedules/nightly"
    assert answer.headers["etag"] == '"1"'
    body = answer.json()
    assert body["description"]["en"] == "Every day at 02:00"
    assert body["description"]["zh"] == "每天 02:00"
    assert body["cron"] == "0 0 2 * * ?"
    assert body["timezone"] == "Asia/Shanghai"
    assert body["kwargs"] == {"page": 1}
    assert (body["task"]["queue"], body["task"]["retries"]) == ("mail", 2)
    assert (body["state"], body["owner"], body["version"], body["enabled"]) == ("active", "api", 1, True)
    assert len(body["next_times"]) == 5
    assert body["next_times"][0]["local"].endswith("T02:00:00")
    assert body["next_times"][0]["offset"] == "+08:00"
    assert body["next_times"][0]["time"] == body["next_fire_time"]
    assert body["grace"] == 10
    assert client.get("/schedules/nightly").json()["last_fire"] is None


def test_the_same_again_answers_what_stands_and_another_body_collides(client: TestClient) -> None:
    made(client)
    assert client.post("/schedules", json=NIGHTLY).status_code == 200
    answer = client.post("/schedules", json={**NIGHTLY, "cron": "0 3 * * *"})
    assert (answer.status_code, answer.json()["error"]) == (409, "id-conflict")
    assert answer.json()["schedule_id"] == "nightly"


@pytest.mark.parametrize(
    ("cron", "field", "position", "token"),
    [("0 25 * * *", "hour", 2, "25"), ("*/90 * * * *", "minute", 0, "*/90"), ("0 0 * * MO", "day_of_week", 8, "MO")],
)
def test_a_wrong_text_says_where_and_what_would_be_right(
    client: TestClient, cron: str, field: str, position: int, token: str
) -> None:
    answer = client.post("/schedules", json={"name": "render", "cron": cron})
    body = answer.json()
    assert (answer.status_code, body["error"]) == (422, "invalid-cron")
    assert (body["field"], body["position"], body["token"]) == (field, position, token)
    assert body["hint"]
    assert body["errors"][0]["pointer"] == "/cron"
    assert client.get("/schedules").json()["items"] == []


@pytest.mark.parametrize("more", [{"cron": "0 0 31 2 *"}, {"at": "2001-01-01T00:00:00Z"}])
def test_what_never_fires_is_refused(client: TestClient, more: dict[str, Any]) -> None:
    answer = client.post("/schedules", json={"name": "render", **more})
    assert (answer.status_code, answer.json()["error"]) == (422, "no-future-fire")


def test_a_function_that_nobody_knows_is_refused_with_near_names(client: TestClient) -> None:
    answer = client.post("/schedules", json={"name": "rendr", "cron": "@daily"})
    assert (answer.status_code, answer.json()["error"], answer.json()["near"]) == (422, "unknown-function", ["render"])


def test_unknown_and_contradicting_members_are_named(client: TestClient) -> None:
    answer = client.post("/schedules", json={"name": "render", "cron": "@daily", "every": 5, "jiter": 3, "queue": "x"})
    assert answer.json()["error"] == "validation-failed"
    assert {each["pointer"] for each in answer.json()["errors"]} == {"/every", "/jiter", "/queue"}


def test_a_merge_patch_changes_parts_and_counts_versions(client: TestClient) -> None:
    made(client, jitter="30s")
    answer = client.patch("/schedules/nightly", json={"cron": "0 3 * * *", "jitter": None, "version": 1})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["version"], body["cron"], body["jitter"], body["timezone"]) == (2, "0 3 * * *", 0, "Asia/Shanghai")
    late = client.patch("/schedules/nightly", json={"cron": "0 4 * * *", "version": 1})
    assert (late.status_code, late.json()["error"], late.json()["version"]) == (409, "version-conflict", 2)
    late = client.patch("/schedules/nightly", json={"cron": "0 4 * * *"}, headers={"if-match": '"1"'})
    assert (late.status_code, late.json()["error"]) == (412, "precondition-failed")
    good = client.patch("/schedules/nightly", json={"cron": "0 4 * * *"}, headers={"if-match": '"2"'})
    assert (good.status_code, good.headers["etag"]) == (200, '"3"')
    wrong = client.patch("/schedules/nightly", json={"cron": "0 4 * *"})
    assert (wrong.status_code, wrong.json()["error"]) == (422, "invalid-cron")
    assert client.patch("/schedules/nightly", json={"version": "2"}).status_code == 422
    assert client.patch("/schedules/nightly", json=[1]).status_code == 422


def test_put_creates_and_replaces_the_whole(client: TestClient) -> None:
    body = {"name": "render", "every": "90s", "jitter": 5}
    assert client.put("/schedules/beat", json=body).status_code == 201
    answer = client.put("/schedules/beat", json={"name": "render", "every": "2m"})
    assert (answer.status_code, answer.json()["every"], answer.json()["jitter"]) == (200, 120, 0)
    assert client.put("/schedules/beat", json=body, headers={"if-match": '"1"'}).status_code == 412
    assert client.put("/schedules/beat", json=body, headers={"if-match": '"2"'}).status_code == 200
    assert client.put("/schedules/beat", json={**body, "schedule_id": "other"}).status_code == 422
    assert client.put("/schedules/gone", json=body, headers={"if-match": '"2"'}).status_code == 412


def test_an_entity_tag_that_is_known_answers_304(client: TestClient) -> None:
    tag = client.post("/schedules", json=NIGHTLY).headers["etag"]
    assert client.get("/schedules/nightly", headers={"if-none-match": tag}).status_code == 304
    assert client.get("/schedules/nightly", headers={"if-none-match": '"9"'}).status_code == 200


def test_lists_are_filtered_and_paged(client: TestClient) -> None:
    for number in range(5):
        made(client, schedule_id=f"s-{number}", name="add" if number else "render", kwargs={})
    page = client.get("/schedules?limit=2").json()
    assert [each["schedule_id"] for each in page["items"]] == ["s-0", "s-1"]
    page = client.get(f"/schedules?limit=3&cursor={page['next_cursor']}").json()
    assert [each["schedule_id"] for each in page["items"]] == ["s-2", "s-3", "s-4"]
    assert [each["schedule_id"] for each in client.get("/schedules?name=ren*").json()["items"]] == ["s-0"]
    client.post("/schedules/s-1/pause")
    assert [each["schedule_id"] for each in client.get("/schedules?state=paused").json()["items"]] == ["s-1"]
    assert client.get("/schedules?prefix=s-3").json()["items"][0]["schedule_id"] == "s-3"
    assert client.get("/schedules?owner=code").json()["items"] == []
    for wrong in ("state=sleeping", "owner=me", "cursor=!", "junk=1"):
        assert client.get(f"/schedules?{wrong}").status_code == 400


def test_next_shows_local_time_and_where_the_clocks_change(client: TestClient) -> None:
    made(client, cron="30 2 * * *", timezone="Europe/Berlin")
    items = client.get("/schedules/nightly/next?count=3&after=2027-03-26T12:00:00Z").json()["items"]
    assert [(each["local"], each["offset"], each["mark"], each["offset_changed"]) for each in items] == [
        ("2027-03-27T02:30:00", "+01:00", None, False),
        ("2027-03-28T03:00:00", "+02:00", "after_gap", True),
        ("2027-03-29T02:30:00", "+02:00", None, False),
    ]


def test_both_passes_of_a_repeated_hour_are_marked(client: TestClient) -> None:
    body = {"cron": "*/30 2 * * *", "timezone": "Europe/Berlin", "count": 4, "after": "2026-10-24T22:00:00Z"}
    answer = client.post("/schedules/preview", json=body).json()
    marks = [each["mark"] for each in answer["next_times"]]
    assert marks == ["first_pass", "first_pass", "second_pass", "second_pass"]


def test_preview_stores_nothing_and_warns(client: TestClient) -> None:
    answer = client.post("/schedules/preview", json={"cron": "0 0 13 * FRI", "count": 2})
    assert answer.status_code == 200, answer.text
    assert [each["code"] for each in answer.json()["warnings"]] == ["either_day"]
    assert answer.json()["warnings"][0]["zh"]
    assert len(answer.json()["next_times"]) == 2
    assert client.get("/schedules").json()["items"] == []
    assert client.post("/schedules/preview", json={"cron": "x"}).json()["error"] == "invalid-cron"
    assert client.post("/schedules/preview", json={"cron": "@daily", "count": 0}).status_code == 422
    assert client.post("/schedules/preview", json=3).status_code == 422


def test_rehearse_looks_both_ways(client: TestClient) -> None:
    answer = client.post("/schedules/rehearse", json={**NIGHTLY, "past": "2d", "future": "3d"})
    assert answer.status_code == 200, answer.text
    assert (len(answer.json()["past"]), len(answer.json()["future"])) == (2, 3)
    assert client.post("/schedules/rehearse", json={**NIGHTLY, "past": "400d"}).status_code == 422
    assert client.post("/schedules/rehearse", json={**NIGHTLY, "past": []}).status_code == 422


def test_the_calendar_counts_fires(client: TestClient, house: House) -> None:
    made(client, cron="0 * * * *")
    body = client.get("/schedules/calendar").json()
    assert sum(each["count"] for each in body["items"]) == 7 * 24
    assert body["items"][0]["schedules"] == [{"schedule_id": "nightly", "count": 1}]
    assert client.get("/schedules/calendar?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z").status_code == 400


def test_pause_and_resume(client: TestClient) -> None:
    made(client)
    body = client.post("/schedules/nightly/pause", json={"reason": "incident 7"}).json()
    assert (body["state"], body["state_reason"], body["enabled"]) == ("paused", "incident 7", False)
    assert body["version"] == 1
    body = client.post("/schedules/nightly/resume", json={"catch_up": True}).json()
    assert (body["state"], body["state_reason"]) == ("active", None)
    assert client.post("/schedules/nightly/pause", json={"reason": "x" * 2000}).status_code == 422
    assert client.post("/schedules/nightly/pause", json={"why": "x"}).status_code == 422
    assert client.post("/schedules/nobody/pause").status_code == 404


def test_trigger_runs_it_now_with_other_arguments(client: TestClient) -> None:
    made(client, kwargs={"page": 1, "size": 2})
    client.post("/schedules/nightly/pause")
    answer = client.post("/schedules/nightly/trigger", json={"kwargs": {"page": 9}, "queue": "fast"})
    assert answer.status_code == 201, answer.text
    task = answer.json()
    assert (task["schedule_id"], task["queue"], task["name"]) == ("nightly", "fast", "render")
    shown = client.get(answer.headers["location"] + "?fields=kwargs").json()
    assert shown["kwargs"] == {"page": 9, "size": 2}
    fires = client.get("/schedules/nightly/fires").json()["items"]
    assert [(each["kind"], each["task_id"]) for each in fires] == [("manual", task["task_id"])]
    assert client.get("/schedules/nightly").json()["last_fire"]["task_id"] == task["task_id"]
    assert client.post("/schedules/nightly/trigger", json={"task_id": "t-1"}).status_code == 422
    assert client.post("/schedules/nightly/trigger", json=[]).status_code == 422


def test_backfill_answers_an_operation(client: TestClient, house: House) -> None:
    made(client, cron="0 * * * *", timezone="UTC", overlap="queue_all")
    now = house.clock.wall()
    stretch = {"from": (now - 5 * HOUR) / SECOND, "to": now / SECOND}
    dry = client.post("/schedules/nightly/backfill", json={**stretch, "dry_run": True})
    assert (dry.status_code, dry.json()["state"], dry.json()["total"]) == (200, "planned", 5)
    assert client.get("/schedules/nightly/fires").json()["items"] == []
    answer = client.post("/schedules/nightly/backfill", json=stretch)
    assert answer.status_code == 202, answer.text
    operation = client.get(answer.headers["location"]).json()
    assert (operation["state"], operation["done"]) == ("succeeded", 5)
    assert len(client.get("/schedules/nightly/fires").json()["items"]) == 5
    again = client.post("/schedules/nightly/backfill", json=stretch).json()
    assert (again["total"], again["skipped"]) == (0, 5)
    assert client.get("/operations/nobody").status_code == 404
    wrong = client.post("/schedules/nightly/backfill", json={"from": "x", "force": 1, "more": 1})
    assert {each["pointer"] for each in wrong.json()["errors"]} == {"/from", "/to", "/force", "/more"}


def test_fires_are_paged_by_time(client: TestClient, house: House) -> None:
    made(client)
    for _ in range(3):
        client.post("/schedules/nightly/trigger")
        house.clock.advance(SECOND)
    page = client.get("/schedules/nightly/fires?limit=2").json()
    assert len(page["items"]) == 2
    rest = client.get("/schedules/nightly/fires", params={"limit": 2, "before": page["next_before"]}).json()
    assert (len(rest["items"]), rest["next_before"]) == (1, None)


def test_delete_is_final(client: TestClient) -> None:
    made(client)
    assert client.delete("/schedules/nightly", headers={"if-match": '"7"'}).status_code == 412
    task = client.post("/schedules/nightly/trigger").json()
    assert client.delete("/schedules/nightly?cancel_running=true").status_code == 204
    assert client.get("/schedules/nightly").status_code == 404
    assert client.delete("/schedules/nightly").status_code == 404
    assert client.get(f"/tasks/{task['task_id']}").json()["status"] == "CANCELLED"


def test_an_idempotency_key_is_refused_with_what_serves_instead(client: TestClient) -> None:
    answer = client.post("/schedules", json=NIGHTLY, headers={"idempotency-key": "k"})
    assert (answer.status_code, answer.json()["error"]) == (422, "not-supported")
    assert "schedule_id" in answer.json()["detail"]


def test_task_add_in_its_required_shape(client: TestClient) -> None:
    answer = client.post("/task/add", json={"spec": "*/5 * * * *", "job": "render"})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"status", "job_id"}
    assert body["status"] == "added"
    assert client.get(f"/schedules/{body['job_id']}").json()["cron"] == "*/5 * * * *"
    wrong = client.post("/task/add", json={"spec": "*/90 * * * *", "job": "render"})
    assert (wrong.status_code, wrong.json()["error"]) == (422, "invalid-cron")
    assert wrong.json()["errors"][0]["pointer"] == "/spec"
    unknown = client.post("/task/add", json={"spec": "@daily", "job": "rendr"}).json()
    assert (unknown["error"], unknown["errors"][0]["pointer"]) == ("unknown-function", "/job")
    for bad in ({}, [], {"spec": 5, "job": "render"}, {"spec": "@daily", "job": "render", "more": 1}):
        assert client.post("/task/add", json=bad).status_code == 422


def test_schedule_in_its_required_shape(client: TestClient) -> None:
    body = {"taskId": "report-1", "taskName": "render", "cronExpression": "0 0 2 * * ?"}
    answer = client.post("/schedule", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "status": "scheduled",
        "schedule_id": "report-1",
        "message": "Task render scheduled.",
    }
    assert client.post("/schedule", json=body).status_code == 200
    assert client.post("/schedule", json={**body, "cronExpression": "0 0 3 * * ?"}).status_code == 409
    wrong = client.post("/schedule", json={**body, "taskId": "!", "cronExpression": "nope"}).json()
    assert {each["pointer"] for each in wrong["errors"]} == {"/taskId", "/cronExpression"}


def test_a_file_is_declared_compared_and_edited_over(client: TestClient) -> None:
    def declare(**more: Any) -> list[dict[str, Any]]:
        body = {"source": "file:x", "schedules": [{**NIGHTLY, "cron": "0 2 * * *"}], **more}
        answer = client.post("/schedules/batch", json=body)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    assert declare(dry_run=True)[0]["outcome"] == "created"
    assert client.get("/schedules").json()["items"] == []
    assert declare()[0]["outcome"] == "created"
    assert declare()[0]["outcome"] == "unchanged"
    assert client.get("/schedules/nightly").json()["owner"] == "code"
    client.patch("/schedules/nightly", json={"jitter": "5s"})
    changed = [{**NIGHTLY, "cron": "0 4 * * *", "jitter": "9s"}]
    row = declare(dry_run=True, schedules=changed)[0]
    assert (row["outcome"], row["kept"]) == ("updated", ["jitter"])
    assert row["changes"] == [{"field": "cron", "from": "0 2 * * *", "to": "0 4 * * *"}]
    assert declare(schedules=changed)[0]["kept"] == ["jitter"]
    body = client.get("/schedules/nightly").json()
    assert (body["cron"], body["jitter"]) == ("0 4 * * *", 5)
    body = client.post("/schedules/nightly/reset", json={"field": "jitter"}).json()
    assert body["jitter"] == 9
    old = {"revision": "2001-01-01T00:00:00Z", "schedules": [NIGHTLY]}
    assert declare(dry_run=True, **old)[0]["outcome"] == "older"
    assert declare(**old)[0]["outcome"] == "older"
    assert declare(redeclare=True, **old)[0]["outcome"] == "updated"
    assert declare(dry_run=True, schedules=[])[0]["outcome"] == "orphaned"
    assert declare(schedules=[])[0]["outcome"] == "orphaned"
    assert client.get("/schedules/nightly").json()["state"] == "orphaned"


def test_a_batch_that_is_wrong_is_refused_as_a_whole(client: TestClient) -> None:
    body = {"schedules": [NIGHTLY, {"name": "render", "cron": "x"}, NIGHTLY, 3], "junk": 1}
    answer = client.post("/schedules/batch", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/junk")
    del body["junk"]
    errors = {each["pointer"] for each in client.post("/schedules/batch", json=body).json()["errors"]}
    assert errors == {"/schedules/1/cron", "/schedules/2/schedule_id", "/schedules/3"}
    assert client.get("/schedules").json()["items"] == []


def test_the_days_of_a_year_can_be_asked_for(client: TestClient, house: House) -> None:
    made(client)
    end = (house.clock.wall() + 366 * DAY) / SECOND
    assert client.get("/schedules/nightly/next?count=1000").json()["items"][-1]["local"]
    assert end > 0
