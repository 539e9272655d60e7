"""Foreign files as schedules: what each entry becomes, and why some do not; nothing of a file is ever run."""

from __future__ import annotations

import json
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.cli import toml_text
from angelica.cli.imports.crontab import split_percent
from angelica.cli.imports.formats import FORMATS, guess, read
from angelica.cli.imports.found import Found, Unreadable, Wishes
from angelica.clock import SECOND
from angelica.runtime.schedule_drafts import read_schedule

NOW = 1_790_000_000 * SECOND
ALL = Wishes("Europe/Berlin", {}, "run_line")


def entries(form: str, text: str, wishes: Wishes = ALL) -> list[Found]:
    found = read(form, text, wishes, now=NOW)
    for entry in found:
        assert (entry.body is None) == bool(entry.refused)
        if entry.body is not None:
            read_schedule(entry.body)  # whatever is offered can be stored as it stands
    return found


def one(form: str, text: str, wishes: Wishes = ALL) -> Found:
    (found,) = entries(form, text, wishes)
    return found


def body(form: str, text: str, wishes: Wishes = ALL) -> dict[str, Any]:
    found = one(form, text, wishes)
    assert found.body is not None, found.refused
    return dict(found.body)


# --- crontab ---


def test_a_crontab_line_runs_the_function_that_takes_commands() -> None:
    made = body("crontab", "*/15 * * * * /usr/local/bin/backup.sh --all\n")
    assert made["cron"] == "*/15 * * * *"
    assert made["name"] == "run_line"
    assert made["kwargs"] == {"command": "/usr/local/bin/backup.sh --all"}
    assert made["timezone"] == "Europe/Berlin"
    assert made["schedule_id"].startswith("backup.sh-")


def test_environment_lines_count_for_what_stands_below() -> None:
    text = """
# a comment
SHELL=/bin/bash
MAILTO = "ops@example.com"
0 1 * * * first
PATH = '/usr/bin'
CRON_TZ=Asia/Tokyo
RANDOM_DELAY=10
0 2 * * * second
CRON_TZ=Nowhere/City
0 3 * * * third
"""
    first, second, third = entries("crontab", text)
    assert first.body is not None
    assert second.body is not None
    assert first.body["kwargs"]["env"] == {"SHELL": "/bin/bash"}
    assert first.body["timezone"] == "Europe/Berlin"
    assert second.body["kwargs"]["env"] == {"SHELL": "/bin/bash", "PATH": "/usr/bin"}
    assert (second.body["timezone"], second.body["jitter"]) == ("Asia/Tokyo", 600)
    assert any("ops@example.com" in note for note in first.notes)
    assert "Nowhere/City" in third.refused
    assert third.place == "line 11"


def test_the_system_form_has_a_user() -> None:
    made = one("system-crontab", "17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly")
    assert made.body is not None
    assert made.body["kwargs"] == {"command": "cd / && run-parts --report /etc/cron.hourly", "user": "root"}
    assert "root" in made.notes[0]
    assert one("system-crontab", "17 * * * * root").refused


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("date +\\%F", ("date +%F", None)),
        ("cat%one%two", ("cat", "one\ntwo\n")),
        ("mail -s \\%x a%hello\\%", ("mail -s %x a", "hello%\n")),
        ("true %", ("true", "\n")),
        ("echo \\\\", ("echo \\\\", None)),
    ],
)
def test_percent_signs(command: str, expected: tuple[str, str | None]) -> None:
    assert split_percent(command) == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("@reboot start", "boot"),
        ("@fortnightly x", "unknown"),
        ("*/90 * * * * x", "larger than the minute field"),
        ("0 0 31 2 * x", "never fires"),
        ("0~59 * * * * x", "at random"),
        ("0 0 * *", "five fields"),
        ("0 0 * * * ", "five fields"),
        ("just words", "five fields"),
        ("some words = x", "five fields"),
        ("1X-Y=Z", "five fields"),
        ("X-Y=Z", "neither an entry nor"),
    ],
)
def test_lines_that_cannot_be_schedules_say_why(line: str, reason: str) -> None:
    assert reason in one("crontab", f"{line}\n").refused


def test_macros_names_and_a_dash() -> None:
    assert body("crontab", "@daily x")["cron"] == "@daily"
    assert body("crontab", "0 9 * JAN-MAR MON-FRI x")["cron"] == "0 9 * JAN-MAR MON-FRI"
    assert body("crontab", "-0 9 * * * x")["cron"] == "0 9 * * *"


def test_a_command_becomes_the_function_that_is_named_for_it() -> None:
    names = {"backup.sh *": "ops.backup", "exact": "ops.exact"}
    made = body("crontab", "0 1 * * * backup.sh --all", Wishes("UTC", names))
    assert made["name"] == "ops.backup"
    assert "kwargs" not in made
    assert one("crontab", "0 1 * * * other", Wishes("UTC", names)).refused.startswith("is a command line")


def test_without_a_zone_the_reader_is_told() -> None:
    found = one("crontab", "0 1 * * * x", Wishes(None, {}, "run_line"))
    assert found.body is not None
    assert "timezone" not in found.body
    assert "UTC" in found.notes[0]


def test_the_same_line_twice_gets_ids_that_differ() -> None:
    ids = [each.body["schedule_id"] for each in entries("crontab", "0 1 * * * x\n0 1 * * * x\n") if each.body]
    assert len(set(ids)) == 2
    assert ids[1] == f"{ids[0]}-2"


# --- Celery ---

BEAT = """
from celery import Celery
from celery.schedules import crontab, solar
from datetime import timedelta
import os

raise SystemExit("this file must not be run")
MINUTE = 60
app = Celery()
app.conf.timezone = "Asia/Shanghai"
app.conf.beat_schedule = {
    "cleanup": {"task": "shop.cleanup", "schedule": 10 * MINUTE},
    "report": {
        "task": "shop.report",
        "schedule": crontab(minute=30, hour="*/3", day_of_week="mon-fri", day_of_month="1-7"),
        "args": (1, "x"), "kwargs": {"full": True},
        "options": {"queue": "reports", "priority": 3, "expires": 60},
    },
    "pulse": {"task": "shop.pulse", "schedule": timedelta(minutes=2, seconds=30)},
    "dawn": {"task": "shop.dawn", "schedule": solar("sunrise", 1.0, 2.0)},
    "secret": {"task": "shop.secret", "schedule": os.environ["EVERY"]},
    "evil": {"task": __import__("os").system("touch /tmp/angelica-import-ran"), "schedule": 5},
    "house": {"task": "celery.backend_cleanup", "schedule": crontab(hour=4)},
    "half": {"task": "shop.half"},
    **more,
}
app.conf.beat_schedule["late"] = {"task": "shop.late", "schedule": crontab(hour=[1, 2])}
"""


def test_a_beat_schedule_is_read_from_python_and_never_run() -> None:
    found = {
        each.text.partition(":")[0]: each for each in entries("celery-beat", BEAT, Wishes(names={"shop.late": "late"}))
    }
    bodies = {name: dict(each.body) for name, each in found.items() if each.body is not None}
    assert bodies["cleanup"] == {"schedule_id": "cleanup", "name": "shop.cleanup", "every": "10m"}
    report = bodies["report"]
    assert (report["cron"], report["day_match"]) == ("30 */3 1-7 * MON-FRI", "all")
    assert (report["args"], report["kwargs"], report["timezone"]) == ([1, "x"], {"full": True}, "Asia/Shanghai")
    assert report["task"] == {"queue": "reports"}
    assert sum("left out" in note for note in found["report"].notes) == 2
    assert bodies["pulse"]["every"] == "2m30s"
    assert (bodies["late"]["cron"], bodies["late"]["name"]) == ("* 1,2 * * *", "late")
    assert "solar" in found["dawn"].refused
    assert "known only when the program runs" in found["secret"].refused
    assert "not a literal" in found["evil"].refused
    assert "housekeeping" in found["house"].refused
    assert "no `schedule`" in found["half"].refused
    assert any("`**more`" in each.refused for each in found.values())
    assert not Path("/tmp/angelica-import-ran").exists()


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (30.0, {"every": "30s"}),
        ("<crontab: 0 4 * * * (m/h/dM/MY/d)>", {"cron": "0 4 * * *"}),
        ("<crontab: 0 [1, 2] * * * (m/h/dM/MY/d)>", {"cron": "0 1,2 * * *"}),
        ("<crontab: 0 4 1 * 6 (m/h/dM/MY/d)>", {"cron": "0 4 1 * 6", "day_match": "all"}),
        ("<crontab: 0 4 6 1 * (m/h/d/dM/MY)>", {"cron": "0 4 1 * 6", "day_match": "all"}),
        ("<freq: 30.00 seconds>", {"every": "30s"}),
        ("1 day, 0:00:30", {"every": "1d30s"}),
        ({"crontab": {"minute": "0", "hour": 4}}, {"cron": "0 4 * * *"}),
        ({"__type__": "crontab", "minute": "5"}, {"cron": "5 * * * *"}),
        ({"__type__": "interval", "every": 10, "relative": True}, {"every": "10s"}),
        ({"minutes": 5}, {"every": "5m"}),
    ],
)
def test_a_json_dump_of_a_beat_schedule(schedule: Any, expected: dict[str, Any]) -> None:
    for whole in (
        {"a": {"task": "t", "schedule": schedule}},
        {"beat_schedule": {"a": {"task": "t", "schedule": schedule}}},
    ):
        made = body("celery-beat", json.dumps(whole), Wishes())
        assert made == {"schedule_id": "a", "name": "t", **expected}


@pytest.mark.parametrize("schedule", [0, -5, True, None, "soon", [], {"x": 1}, "<crontab: 0 4>", {"minute": None}])
def test_times_that_mean_nothing_are_refused(schedule: Any) -> None:
    assert one("celery-beat", json.dumps({"a": {"task": "t", "schedule": schedule}})).refused


@pytest.mark.parametrize(
    "text",
    [
        "CELERY_BEAT_SCHEDULE = {'a': {'task': 't', 'schedule': 5}}",
        "app.conf.update(beat_schedule={'a': {'task': 't', 'schedule': 5}}, timezone='UTC')",
        "app.conf.beat_schedule.update({'a': {'task': 't', 'schedule': 5}})",
        "{'a': {'task': 't', 'schedule': schedule(run_every=5.0)}}",
        "class Config:\n    beat_schedule: dict = {'a': {'task': 't', 'schedule': timedelta(0, 5)}}",
    ],
)
def test_the_places_where_a_beat_schedule_is_set(text: str) -> None:
    assert body("celery-beat", text, Wishes()) == {"schedule_id": "a", "name": "t", "every": "5s"}


@pytest.mark.parametrize(
    "text", ["", "x = 1", "def (", "(" * 5000, "a" * 5_000_000, "[1]", '{"a": ', "beat_schedule = f()"]
)
def test_a_file_without_a_beat_schedule_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        read("celery-beat", text, ALL, now=NOW)


DUMP = [
    {"model": "django_celery_beat.crontabschedule", "pk": 1, "fields": {
        "minute": "0", "hour": "4", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*",
        "timezone": "Asia/Tokyo"}},
    {"model": "django_celery_beat.intervalschedule", "pk": 7, "fields": {"every": 10, "period": "minutes"}},
    {"model": "django_celery_beat.clockedschedule", "pk": 2, "fields": {"clocked_time": "2030-01-01T00:00:00Z"}},
    {"model": "django_celery_beat.solarschedule", "pk": 3, "fields": {"event": "sunset"}},
    {"model": "django_celery_beat.periodictasks", "pk": 1, "fields": {"last_update": "2026-01-01T00:00:00Z"}},
]  # fmt: skip


def periodic(**fields: Any) -> str:
    base = {"name": "my task", "task": "shop.t", "args": "[]", "kwargs": "{}", "headers": "{}", "enabled": True,
            "one_off": False, "interval": None, "crontab": None, "solar": None, "clocked": None}  # fmt: skip
    row = {"model": "django_celery_beat.periodictask", "pk": 9, "fields": {**base, **fields}}
    return json.dumps([*DUMP, row])


def test_a_django_dump_joins_its_rows() -> None:
    text = periodic(crontab=1, args="[1]", kwargs='{"a": 2}', queue="q", one_off=True, enabled=False, priority=4)
    found = one("django-celery-beat", text)
    assert found.body is not None
    assert found.body["schedule_id"].startswith("my-task-")
    assert {key: value for key, value in found.body.items() if key != "schedule_id"} == {
        "name": "shop.t", "args": [1], "kwargs": {"a": 2}, "cron": "0 4 * * *", "timezone": "Asia/Tokyo",
        "max_runs": 1, "enabled": False, "task": {"queue": "q"},
    }  # fmt: skip
    assert "priority 4" in found.notes[0]
    made = body("django-celery-beat", periodic(interval=7, start_time="2027-01-01T00:00:00Z"))
    assert (made["every"], made["start_at"]) == ("10m", "2027-01-01T00:00:00Z")
    assert body("django-celery-beat", periodic(clocked=2, one_off=True))["at"] == "2030-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "no schedule"),
        ({"crontab": 1, "interval": 7}, "more than one"),
        ({"crontab": 99}, "not in the dump"),
        ({"solar": 3}, "solar"),
        ({"interval": 7, "args": "[1"}, "args is not JSON"),
        ({"interval": 7, "kwargs": "[]"}, "must be an object"),
        ({"interval": 7, "task": "celery.backend_cleanup"}, "housekeeping"),
        ({"interval": 7, "name": None}, "has a name"),
    ],
)
def test_periodic_tasks_that_cannot_be_schedules(fields: dict[str, Any], reason: str) -> None:
    assert reason in one("django-celery-beat", periodic(**fields)).refused


# --- APScheduler ---


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"hour": 2}, {"cron": "0 0 2 * * *"}),
        ({"minute": "*/5"}, {"cron": "0 */5 * * * *"}),
        ({"day": 1}, {"cron": "0 0 0 1 * *"}),
        ({"month": "jan"}, {"cron": "0 0 0 1 JAN *"}),
        ({"day_of_week": "0-4", "hour": 9}, {"cron": "0 0 9 * * MON-FRI"}),
        ({"day_of_week": "6"}, {"cron": "0 0 0 * * SUN"}),
        ({"day_of_week": "mon,fri", "day": "1-7"}, {"cron": "0 0 0 1-7 * MON,FRI", "day_match": "all"}),
        ({"day_of_week": "*/2"}, {"cron": "0 0 0 * * MON,WED,FRI,SUN"}),
        ({"day_of_week": "1-5/2"}, {"cron": "0 0 0 * * TUE,THU,SAT"}),
        ({"day": "last"}, {"cron": "0 0 0 L * *"}),
        ({"day": "2nd fri", "hour": 8}, {"cron": "0 0 8 * * FRI#2"}),
        ({"day": "last sun"}, {"cron": "0 0 0 * * SUNL"}),
        ({"year": "2030"}, {"cron": "0 0 0 1 1 * 2030"}),
        ({"second": "*/10"}, {"cron": "*/10 * * * * *"}),
    ],
)
def test_cron_fields_of_apscheduler(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    job = {"id": "j", "func": "app.jobs:clean", "trigger": "cron", **fields}
    made = body("apscheduler", json.dumps([job]), Wishes())
    assert made == {"schedule_id": "j", "name": "app.jobs.clean", **expected}


def test_jobs_of_apscheduler_keep_their_policies() -> None:
    job = {
        "id": "j", "name": "clean", "func": "app:clean", "args": [1], "kwargs": {"a": 1}, "trigger": "interval",
        "minutes": 5, "jitter": 3, "start_date": "2027-01-01 00:00:00+01:00", "misfire_grace_time": 30,
        "coalesce": False, "max_instances": 3, "next_run_time": None, "executor": "pool",
    }  # fmt: skip
    found = one("apscheduler", json.dumps({"jobs": [job]}), Wishes(names={"app:clean": "clean"}))
    assert found.body == {
        "schedule_id": "j", "name": "clean", "args": [1], "kwargs": {"a": 1}, "every": "5m", "jitter": 3,
        "start_at": "2027-01-01T00:00:00+01:00", "catchup_window": 30, "catch_up": "all", "overlap": "allow",
        "max_running": 3, "enabled": False,
    }  # fmt: skip
    assert any("'pool'" in note for note in found.notes)


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        ("cron[hour='2', minute='30']", {"cron": "0 30 2 * * *"}),
        ("interval[0:00:30]", {"every": "30s"}),
        ("date[2030-01-01 00:00:00 UTC]", {"at": "2030-01-01T00:00:00Z"}),
        ({"type": "cron", "hour": "2", "timezone": "Asia/Tokyo"}, {"cron": "0 0 2 * * *", "timezone": "Asia/Tokyo"}),
        ({"type": "date", "run_date": "2030-01-01T00:00:00+09:00"}, {"at": "2030-01-01T00:00:00+09:00"}),
    ],
)
def test_triggers_of_apscheduler_as_text_and_objects(trigger: Any, expected: dict[str, Any]) -> None:
    made = body("apscheduler", json.dumps([{"id": "j", "func": "f", "trigger": trigger}]), Wishes())
    assert made == {"schedule_id": "j", "name": "f", **expected}


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        ({"func": "f", "trigger": {"__apscheduler_class__": "x", "__apscheduler_state__": {}}}, "pickled"),
        ({"func": "f", "trigger": "interval", "seconds": 5, "args": [{"__apscheduler_pickle__": "gASV"}]}, "pickled"),
        ({"func": "f", "trigger": "date[2030-01-01 00:00:00 CET]"}, "abbreviation"),
        ({"func": "f", "trigger": "cron", "week": 3}, "weeks"),
        ({"func": "f", "trigger": "cron"}, "at least one field"),
        ({"func": "f", "trigger": "cron", "day": "2nd fri,5"}, "two schedules"),
        ({"func": "f", "trigger": "combining"}, "no counterpart"),
        ({"func": "f", "trigger": "cron", "hour": "99"}, "out of range"),
        ({"func": None, "trigger": "cron"}, "func"),
        (5, "object"),
    ],
)
def test_jobs_that_cannot_be_schedules(job: Any, reason: str) -> None:
    assert reason in one("apscheduler", json.dumps([job])).refused


# --- all of them ---


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("crontab", "0 1 * * * x", "crontab"),
        ("/etc/cron.d/x", "0 1 * * * root x", "system-crontab"),
        ("celery.py", "x", "celery-beat"),
        ("x.json", '{"a": {"task": "t", "schedule": 5}}', "celery-beat"),
        ("x.json", periodic(), "django-celery-beat"),
        ("x.json", '[{"id": "j"}]', "apscheduler"),
        ("-", '{"jobs": []}', "apscheduler"),
        ("-", "{'a': 1}", "celery-beat"),
        ("-", "", "crontab"),
    ],
)
def test_the_form_of_a_file_is_guessed(name: str, text: str, form: str) -> None:
    assert guess(name, text) == form


@given(st.sampled_from(FORMATS), st.text(max_size=200))
def test_no_text_makes_a_fault(form: str, text: str) -> None:
    with suppress(Unreadable):
        read(form, text, ALL, now=NOW)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(scalars, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=6), x, max_size=3))
FIELDS = ["task", "schedule", "args", "kwargs", "options", "id", "func", "trigger", "name", "hour", "day", "model",
          "fields", "pk", "crontab", "interval", "every", "period", "minute", "run_date", "__type__"]  # fmt: skip
things = st.dictionaries(st.sampled_from(FIELDS), values | st.just("cron") | st.just("interval"), max_size=6)


@given(
    st.sampled_from(FORMATS), st.lists(things, max_size=3) | st.dictionaries(st.text(max_size=5), things, max_size=3)
)
def test_no_json_makes_a_fault(form: str, obj: Any) -> None:
    with suppress(Unreadable):
        read(form, json.dumps(obj), ALL, now=NOW)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
toml_values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(texts, x, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(texts, toml_values, max_size=5))
def test_toml_says_what_it_was_given(members: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text.table(["schedules", "a.b"], members)) == {"schedules": {"a.b": members}}


def test_toml_has_no_null_inside_of_values() -> None:
    with pytest.raises(toml_text.NoToml):
        toml_text.table(["a"], {"x": [None]})
