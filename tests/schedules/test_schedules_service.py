"""The service of schedules: definitions, versions, phases, runs by hand, backfill and forecasts."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from angelica.clock import DAY, HOUR, SECOND
from angelica.domain.events import ScheduleChanged
from angelica.domain.fire import task_id_of
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Succeeded
from angelica.domain.schedule import CatchUp, Overlap, Phase, SkipReason
from angelica.domain.task import State
from angelica.errors import (
    InvalidArguments,
    InvalidValue,
    NotFound,
    NotSupported,
    ScheduleConflict,
    ShuttingDown,
    UnknownFunction,
    VersionConflict,
)
from angelica.runtime.definition import definition_of
from angelica.runtime.drafts import InvalidRequest
from angelica.runtime.schedule_desk import ScheduleDesk
from angelica.runtime.schedule_drafts import read_schedule
from tests.schedules.office import START, STORES, fire_times, in_office

MINUTE = 60


@pytest.fixture(params=STORES)
def office(request, tmp_path):
    return lambda story: in_office(request.param, tmp_path, story)


def moment(seconds):
    return START + seconds * SECOND


# --- reading definitions: one gate for all surfaces ---


@pytest.mark.parametrize(
    ("body", "pointer", "rule"),
    [
        ({"cron": "* * * * *"}, "/name", "missing"),
        ({"name": "report"}, "/cron", "missing"),
        ({"name": "report", "cron": "* * *"}, "/cron", "field_count"),
        ({"name": "report", "cron": "* * * * *", "every": 60}, "/every", "exclusive"),
        ({"name": "report", "every": "P1D"}, "/every", "date_part"),
        ({"name": "report", "every": 0.5}, "/every", "too_short"),
        ({"name": "report", "every": 60, "dialect": "quartz"}, "/dialect", "exclusive"),
        ({"name": "report", "cron": "* * * * *", "mode": "delay"}, "/mode", "exclusive"),
        ({"name": "report", "cron": "* * * * *", "timezone": "Mars/Olympus"}, "/timezone", "unknown_zone"),
        ({"name": "report", "cron": "* * * * *", "overlap": "skipp"}, "/overlap", "choice"),
        ({"name": "report", "cron": "* * * * *", "max_running": 2}, "/max_running", "exclusive"),
        ({"name": "report", "cron": "* * * * *", "jitter_mode": "fixed"}, "/jitter_mode", "exclusive"),
        ({"name": "report", "cron": "* * * * *", "max_runs": 0}, "/max_runs", "too_small"),
        ({"name": "report", "cron": "* * * * *", "grase": 1}, "/grase", "unknown_field"),
        ({"name": "report", "cron": "* * * * *", "queue": "x"}, "/queue", "unknown_field"),
        ({"name": "report", "cron": "* * * * *", "task": {"delay": 1}}, "/task/delay", "not_for_runs"),
        ({"name": "report", "cron": "* * * * *", "task": {"retrys": 1}}, "/task/retrys", "unknown_field"),
        ({"name": "report", "cron": "* * * * *", "schedule_id": "preview"}, "/schedule_id", "invalid"),
        ({"name": "report", "cron": "* * * * *", "args": {}}, "/args", "type"),
        ({"name": "report", "cron": "* * * * *", "start_at": 9, "end_at": 8}, "/end_at", "too_small"),
        ([], "", "type"),
    ],
)
def test_a_bad_definition_is_refused_at_its_place(body, pointer, rule) -> None:
    with pytest.raises(InvalidValue) as refused:
        read_schedule(body)
    assert (refused.value.field, refused.value.rule) == (pointer, rule)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_schedule({"cron": "61 * * * *", "overlap": 3, "task": {"priority": 999}})
    assert {problem.field for problem in refused.value.problems} == {"/name", "/cron", "/overlap", "/task/priority"}


def test_what_is_not_served_yet_is_not_ignored() -> None:
    with pytest.raises(NotSupported):
        read_schedule({"name": "report", "every": 60, "expect_finish_within": "5m"})
    read_schedule({"name": "report", "every": 60, "expect_finish_within": None, "command": None})


def test_the_normal_form_is_read_back_as_the_same_draft() -> None:
    draft = read_schedule(
        {
            "name": "report",
            "at": "2026-10-25T02:30",
            "timezone": "Europe/Berlin",
            "grace": 90,
            "jitter": 0.25,
            "start_at": "2026-06-01T00:00:00.000001Z",
            "args": [1],
            "kwargs": {"full": True},
            "task": {"timeout": None, "retries": 2, "backoff": {"kind": "fixed", "delay": 3}, "result_ttl": "1h"},
            "enabled": False,
        }
    )
    assert draft.form["grace"] == "1m30s"
    assert draft.form["at"] == "2026-10-25T02:30:00"
    assert read_schedule(dict(draft.form)) == draft


@pytest.mark.parametrize(
    ("local", "instant"),
    [
        ("2026-03-29T02:30:00", "2026-03-29T01:00:00+00:00"),  # skipped: the end of the gap
        ("2026-10-25T02:30:00", "2026-10-25T00:30:00+00:00"),  # shown twice: the first
    ],
)
def test_a_local_moment_is_one_of_the_schedules_zone(local, instant) -> None:
    draft = read_schedule({"name": "report", "at": local, "timezone": "Europe/Berlin"})
    same = read_schedule({"name": "report", "at": instant})
    assert draft.trigger.at == same.trigger.at


# --- creating ---


def test_the_same_definition_twice_is_one_schedule(office) -> None:
    async def story(o):
        body = {"schedule_id": "s", "name": "report", "in": "10m"}
        first, created = await o.schedules.create(read_schedule(body), created_by="token:ci")
        o.advance(5)
        again, created_again = await o.schedules.create(read_schedule(dict(reversed(body.items()))))
        assert (created, created_again) == (True, False)
        assert again == first
        assert first.next_fire_at == moment(600)
        assert first.run.extras.created_by == "token:ci"
        with pytest.raises(ScheduleConflict):
            await o.schedules.create(read_schedule({**body, "in": "11m"}))
        assert o.events == [ScheduleChanged("s", "created")]

    office(story)


def test_without_an_id_each_is_another(office) -> None:
    async def story(o):
        draft = read_schedule({"name": "report", "every": 60})
        one, _ = await o.schedules.create(draft)
        two, _ = await o.schedules.create(draft)
        assert one.id != two.id

    office(story)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"cron": "0 0 31 2 *"}, "/cron"),
        ({"at": "2026-05-31T23:00:00Z"}, "/at"),
        ({"cron": "0 0 1 1 *", "end_at": "2026-07-01T00:00:00Z"}, "/end_at"),
    ],
)
def test_one_that_would_never_fire_is_refused(office, fields, pointer) -> None:
    async def story(o):
        with pytest.raises(InvalidValue) as refused:
            await o.create(**fields)
        assert (refused.value.rule, refused.value.field) == ("no_future_fire", pointer)
        assert (await o.schedules.list()).items == ()

    office(story)


def test_a_past_moment_is_taken_within_grace_or_the_window(office) -> None:
    async def story(o):
        await o.create(schedule_id="a", at=START // SECOND - 9)
        await o.create(schedule_id="b", at=START // SECOND - 3600, catchup_window="2h")
        await o.fire()
        assert sorted(fire_times(await o.tasks())) == [-3600, -9]
        assert (await o.schedules.get("a")).phase is Phase.COMPLETED

    office(story)


def test_functions_and_arguments_are_checked_before_anything_is_stored(office) -> None:
    async def story(o):
        with pytest.raises(UnknownFunction) as unknown:
            await o.create(name="reprot")
        assert unknown.value.near == ("report",)
        with pytest.raises(InvalidArguments) as refused:
            await o.create(kwargs={"dya": 1})
        assert refused.value.field == "/kwargs/dya"
        assert (await o.schedules.list()).items == ()

    office(story)


def test_an_engine_that_shuts_down_takes_no_edits(office) -> None:
    async def story(o):
        await o.create()
        o.state = "SHUTDOWN"
        for call in (
            o.create(schedule_id="t"),
            o.schedules.patch("s", {"grace": 1}),
            o.schedules.trigger("s"),
            o.schedules.resume("s"),
        ):
            with pytest.raises(ShuttingDown):
                await call

    office(story)


def test_one_that_is_not_enabled_waits_for_its_resume(office) -> None:
    async def story(o):
        made = await o.create(enabled=False)
        assert (made.phase, made.next_fire_at) == (Phase.PAUSED, moment(60))
        o.advance(180)
        assert await o.fire() == 0
        await o.schedules.patch("s", {"enabled": True})
        o.advance(60)
        assert await o.fire() == 1

    office(story)


# --- editing ---


def test_a_patch_merges_and_counts_a_version(office) -> None:
    async def story(o):
        await o.create(kwargs={"day": 1, "full": True}, task={"queue": "mail", "retries": 5}, grace="30s")
        made = await o.schedules.patch("s", {"kwargs": {"day": 2}, "task": {"queue": None}, "grace": None})
        assert definition_of(made) == {
            "name": "report",
            "cron": "* * * * *",
            "kwargs": {"day": 2, "full": True},
            "task": {"retries": 5},
        }
        assert (made.version, made.run.queue, made.run.policy.retries) == (2, "default", 5)
        assert made.rules.grace == 10 * SECOND
        assert await o.schedules.get("s") == made
        assert await o.schedules.patch("s", {"kwargs": {"day": 2}}) == made

    office(story)


def test_null_is_a_value_of_the_time_out(office) -> None:
    async def story(o):
        await o.create(task={"timeout": "5m"})
        made = await o.schedules.patch("s", {"task": {"timeout": None}})
        assert made.run.policy.timeout is None

    office(story)


def test_another_trigger_replaces_the_one_that_stood(office) -> None:
    async def story(o):
        await o.create(cron="0 2 * * *", timezone="Asia/Shanghai", day_match="all")
        o.advance(100)
        made = await o.schedules.patch("s", {"every": "5m"})
        assert (made.trigger.cron, made.trigger.every, made.trigger.day_match) == (None, 300 * SECOND, "auto")
        assert made.next_fire_at == o.clock.wall() + 300 * SECOND
        made = await o.schedules.patch("s", {"in": "1h"})
        assert (made.trigger.every, made.next_fire_at) == (None, o.clock.wall() + 3600 * SECOND)
        o.advance(10)
        assert (await o.schedules.patch("s", {"grace": 5})).next_fire_at == made.next_fire_at

    office(story)


def test_an_edit_of_anything_else_moves_neither_grid_nor_next_fire(office) -> None:
    async def story(o):
        await o.create(every="5m")
        o.advance(100)
        made = await o.schedules.patch("s", {"grace": "1m", "kwargs": {"day": 9}, "overlap": "allow"})
        assert (made.next_fire_at, made.anchor) == (moment(300), START)
        assert made.rules.overlap is Overlap.ALLOW

    office(story)


def test_an_edit_against_another_version_is_refused(office) -> None:
    async def story(o):
        await o.create()
        await o.schedules.patch("s", {"grace": 1}, version=1)
        with pytest.raises(VersionConflict) as refused:
            await o.schedules.patch("s", {"grace": 2}, version=1)
        assert refused.value.current == 2
        assert (await o.schedules.get("s")).rules.grace == SECOND
        with pytest.raises(VersionConflict):
            await o.schedules.put(read_schedule({"schedule_id": "s", "name": "sync", "every": 5}), version=1)

    office(story)


def test_fires_do_not_count_as_edits(office) -> None:
    async def story(o):
        await o.create()
        o.advance(MINUTE)
        await o.fire()
        assert (await o.schedules.patch("s", {"grace": 1}, version=1)).version == 2

    office(story)


def test_edits_from_many_sides_are_all_kept(office) -> None:
    async def story(o):
        await o.create(overlap="allow")
        o.advance(MINUTE)
        edits = [o.schedules.patch("s", {"task": {"labels": {f"l{n}": "x"}}}) for n in range(6)]
        await asyncio.gather(*edits, o.fire(), o.fire())
        schedule = await o.schedules.get("s")
        assert sorted(schedule.run.extras.labels) == [f"l{n}" for n in range(6)]
        assert (schedule.version, schedule.runs, len(await o.tasks())) == (7, 1, 1)

    office(story)


@pytest.mark.parametrize("meanwhile", ["pause", "fire", "edit"])
def test_an_edit_that_was_overtaken_is_made_again_on_what_stands(office, meanwhile) -> None:
    async def story(o):
        await o.create()
        o.clock.advance(59 * SECOND)
        overtaken = []

        async def change(standing, now):
            if not overtaken:
                overtaken.append(standing)
                match meanwhile:
                    case "pause":
                        await o.schedules.pause("s", "quiet")
                    case "fire":
                        o.advance(1)
                        await o.fire()
                    case "edit":
                        await o.schedules.patch("s", {"grace": "1m"})
            return replace(standing, rules=replace(standing.rules, max_catchup=7), version=standing.version + 1)

        await ScheduleDesk(o.storage, o.means).change("s", change, version=None, what="updated")
        made = await o.schedules.get("s")
        assert made.rules.max_catchup == 7
        match meanwhile:
            case "pause":
                assert (made.phase, made.phase_reason) == (Phase.PAUSED, "quiet")
            case "fire":
                assert (made.runs, made.next_fire_at, made.last_fire_at) == (1, moment(120), moment(60))
            case "edit":
                assert (made.rules.grace, made.version) == (60 * SECOND, 3)

    office(story)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"cron": "nonsense"}, "/cron"),
        ({"nmae": None}, "/nmae"),
        ({"schedule_id": "other"}, "/schedule_id"),
        ({"enabled": "yes"}, "/enabled"),
        ({"kwargs": {"x": 1}}, "/kwargs/x"),
        ({"name": None}, "/name"),
        ([], ""),
    ],
)
def test_a_bad_edit_changes_nothing(office, changes, pointer) -> None:
    async def story(o):
        before = await o.create()
        with pytest.raises(InvalidValue) as refused:
            await o.schedules.patch("s", changes)
        assert refused.value.field == pointer
        assert await o.schedules.get("s") == before

    office(story)


def test_put_makes_and_replaces(office) -> None:
    async def story(o):
        made, created = await o.schedules.put(read_schedule({"schedule_id": "s", "name": "report", "every": 60}))
        assert created
        again, created = await o.schedules.put(
            read_schedule({"schedule_id": "s", "name": "sync", "cron": "0 2 * * *", "catch_up": "skip"})
        )
        assert not created
        assert (again.version, again.run.function, again.rules.catch_up) == (2, "sync", CatchUp.SKIP)
        assert definition_of(again) == {"name": "sync", "cron": "0 2 * * *", "catch_up": "skip"}
        assert again.created_at == made.created_at

    office(story)


def test_a_completed_one_goes_on_when_its_bound_is_raised(office) -> None:
    async def story(o):
        await o.create(max_runs=1)
        o.advance(MINUTE)
        await o.fire()
        await o.run_all()
        assert (await o.schedules.get("s")).phase is Phase.COMPLETED
        made = await o.schedules.patch("s", {"max_runs": 2})
        assert (made.phase, made.next_fire_at) == (Phase.ACTIVE, moment(120))
        with pytest.raises(InvalidValue, match="1 runs have started"):
            await o.schedules.patch("s", {"max_runs": 1})

    office(story)


def test_what_waits_is_taken_back_with_an_edit_that_asks_for_it(office) -> None:
    async def story(o):
        await o.create(overlap="queue_all")
        for _ in range(3):
            o.advance(MINUTE)
            await o.fire()
        await o.claim(1)
        await o.schedules.patch("s", {"cron": "0 2 * * *", "cancel_pending": True})
        assert [task.state for task in await o.tasks()] == [State.RUNNING, State.CANCELLED, State.CANCELLED]

    office(story)


# --- pausing, deleting ---


def test_pause_holds_and_resume_goes_on_after_it(office) -> None:
    async def story(o):
        await o.create(overlap="allow")
        paused = await o.schedules.pause("s", "maintenance")
        assert (paused.phase, paused.phase_reason, paused.next_fire_at) == (Phase.PAUSED, "maintenance", moment(60))
        o.advance(5 * MINUTE + 30)
        assert await o.fire() == 0
        resumed = await o.schedules.resume("s")
        assert (resumed.phase, resumed.next_fire_at) == (Phase.ACTIVE, moment(360))
        (span,) = await o.schedules.fires("s")
        assert (span.reason, span.count) == (SkipReason.PAUSED, 5)
        assert await o.tasks() == ()

    office(story)


def test_resume_may_catch_up(office) -> None:
    async def story(o):
        await o.create(overlap="allow", catch_up="all")
        await o.schedules.pause("s")
        o.advance(3 * MINUTE + 30)
        await o.schedules.resume("s", catch_up=True)
        assert fire_times(await o.tasks()) == [60, 120, 180]

    office(story)


def test_an_edit_while_paused_records_the_fires_that_it_moves_past(office) -> None:
    async def story(o):
        await o.create(overlap="allow")
        await o.schedules.pause("s")
        o.advance(5 * MINUTE + 30)
        edited = await o.schedules.patch("s", {"every": 2 * MINUTE}, version=None)
        assert edited.phase is Phase.PAUSED
        assert edited.next_fire_at > moment(330)
        (span,) = await o.schedules.fires("s")
        assert (span.reason, span.fire_time, span.last, span.count) == (SkipReason.PAUSED, moment(60), moment(300), 5)
        assert await o.tasks() == ()

    office(story)


def test_pause_and_resume_twice_are_as_once(office) -> None:
    async def story(o):
        await o.create()
        first = await o.schedules.pause("s", "one")
        assert await o.schedules.pause("s", "two") == first
        await o.schedules.resume("s")
        active = await o.schedules.resume("s")
        assert (active.phase, active.version) == (Phase.ACTIVE, 1)

    office(story)


def test_delete_lets_runs_end_or_cancels_them(office) -> None:
    async def story(o):
        for name in ("a", "b"):
            await o.create(schedule_id=name)
        o.advance(MINUTE)
        await o.fire()
        await o.schedules.delete("a")
        await o.schedules.delete("b", cancel_running=True)
        states = {task.spec.extras.schedule_id: task.state for task in await o.tasks()}
        assert states == {"a": State.QUEUED, "b": State.CANCELLED}
        for call in (o.schedules.get("a"), o.schedules.delete("a"), o.schedules.fires("a"), o.schedules.pause("a")):
            with pytest.raises(NotFound):
                await call
        await o.create(schedule_id="a")

    office(story)


# --- runs by hand ---


def test_a_trigger_runs_now_while_paused_and_beside_a_run(office) -> None:
    async def story(o):
        await o.create(kwargs={"day": 1})
        o.advance(MINUTE)
        await o.fire()
        await o.schedules.pause("s")
        before = await o.schedules.get("s")
        one, two = await o.schedules.trigger("s"), await o.schedules.trigger("s", created_by="token:me")
        assert one.id != two.id
        assert (one.state, one.spec.payload) == (State.QUEUED, '{"args":[],"kwargs":{"day":1}}')
        assert (one.spec.extras.schedule_id, two.spec.extras.created_by) == ("s", "token:me")
        assert await o.schedules.get("s") == before
        kinds = [record.kind for record in await o.schedules.fires("s")]
        assert kinds == ["manual", "manual", "scheduled"]
        assert (await o.storage.unfinished_runs("s")).count == 3

    office(story)


def test_a_triggered_run_counts_as_unfinished_and_moves_no_grid(office) -> None:
    async def story(o):
        await o.create()
        o.advance(30)
        await o.schedules.trigger("s")
        o.advance(30)
        await o.fire()
        assert len(await o.tasks()) == 1
        await o.run_all()
        o.advance(MINUTE)
        await o.fire()
        assert fire_times(await o.queued()) == [120]

    office(story)


def test_a_trigger_takes_other_arguments_and_options(office) -> None:
    async def story(o):
        await o.create(kwargs={"day": 1, "full": True}, task={"queue": "mail", "labels": {"a": "b"}})
        task = await o.schedules.trigger("s", {"kwargs": {"day": 5}, "priority": 9, "delay": "10s"})
        assert task.spec.payload == '{"args":[],"kwargs":{"day":5,"full":true}}'
        assert (task.queue, task.spec.priority, task.state) == ("mail", 9, State.SCHEDULED)
        assert dict(task.spec.extras.labels) == {"a": "b"}
        for bad in ({"task_id": "x"}, {"kwargs": {"x": 1}}, {"quue": "x"}, {"name": "sync"}):
            with pytest.raises(InvalidValue):
                await o.schedules.trigger("s", bad)

    office(story)


def test_backfill_fills_what_has_no_run_one_after_the_other(office) -> None:
    async def story(o):
        await o.create(overlap="allow")
        o.advance(MINUTE)
        await o.fire()
        await o.schedules.pause("s")
        o.advance(4 * MINUTE)
        await o.schedules.resume("s")
        await o.run_all()
        plan = await o.schedules.backfill("s", START + 1, o.clock.wall() + HOUR, dry_run=True)
        assert (plan.state, plan.total, plan.skipped) == ("planned", 3, 1)
        assert await o.queued() == ()
        done = await o.schedules.backfill("s", START + 1, o.clock.wall() + HOUR)
        assert (done.state, done.done, done.total) == ("succeeded", 3, 3)
        assert await o.schedules.operation(done.id) == done
        runs = await o.tasks(State.QUEUED, State.WAITING)
        assert sorted(task.state for task in runs) == [State.QUEUED, State.WAITING, State.WAITING]
        assert {task.id for task in runs} == {task_id_of("s", moment(n)) for n in (120, 180, 240)}
        assert fire_times(await o.run_all()) == [120, 180, 240]
        again = await o.schedules.backfill("s", START + 1, o.clock.wall())
        assert (again.total, again.skipped) == (0, 4)

    office(story)


def test_backfill_may_force_what_has_run_and_run_all_at_once(office) -> None:
    async def story(o):
        await o.create(overlap="allow")
        for _ in range(2):
            o.advance(MINUTE)
            await o.fire()
        await o.run_all()
        o.advance(1)
        done = await o.schedules.backfill("s", START + 1, o.clock.wall(), force=True, overlap="allow")
        assert done.done == 2
        assert [task.state for task in await o.tasks(State.QUEUED, State.WAITING)] == [State.QUEUED] * 2
        assert (await o.schedules.get("s")).runs == 2

    office(story)


def test_backfill_has_bounds(office) -> None:
    async def story(o):
        await o.create(every=1)
        o.advance(20_000)
        for start, end, pointer in ((START, o.clock.wall(), "/to"), (START, START, "/to")):
            with pytest.raises(InvalidValue) as refused:
                await o.schedules.backfill("s", start, end)
            assert refused.value.field == pointer
        await o.create(schedule_id="d", every=60, mode="delay")
        with pytest.raises(InvalidValue, match="mode delay"):
            await o.schedules.backfill("d", START, START + DAY)
        with pytest.raises(NotFound):
            await o.schedules.operation("nothing")

    office(story)


# --- looking ahead ---


def test_next_shows_what_it_would_fire(office) -> None:
    async def story(o):
        await o.create(max_runs=2)
        assert await o.schedules.next("s", 5) == (moment(60), moment(120))
        assert await o.schedules.next("s", 1, moment(61)) == (moment(120),)
        with pytest.raises(InvalidValue):
            await o.schedules.next("s", 0)

    office(story)


def test_a_preview_needs_no_function_and_stores_nothing(office) -> None:
    async def story(o):
        seen = await o.schedules.preview({"cron": "0 0 13 * FRI", "timezone": "Asia/Shanghai", "count": 3})
        assert len(seen.times) == 3
        assert [warning.code for warning in seen.warnings] == ["either_day"]
        assert seen.words.params["timezone"] == "Asia/Shanghai"
        assert (await o.schedules.preview({"in": "5m"})).times == (moment(300),)
        assert (await o.schedules.preview({"every": "5m", "mode": "delay"})).times == (moment(300),)
        with pytest.raises(InvalidValue) as refused:
            await o.schedules.preview({"cron": "61 * * * *"})
        assert refused.value.field == "/cron"
        assert (await o.schedules.list()).items == ()

    office(story)


def test_policies_that_work_against_each_other_are_warned_of(office) -> None:
    async def story(o):
        seen = await o.schedules.preview({"cron": "* * * * *", "catch_up": "all"})
        assert [warning.code for warning in seen.warnings] == ["all_with_skip"]
        draft = read_schedule({"name": "report", "every": 10, "task": {"retries": 5}})
        rehearsed = await o.schedules.rehearse(draft)
        assert [warning.code for warning in rehearsed.warnings] == ["retries_beyond_period"]

    office(story)


def test_a_rehearsal_shows_both_sides_of_now_beside_how_long_runs_take(office) -> None:
    async def story(o):
        await o.create(every=60)
        o.advance(MINUTE)
        await o.fire()
        (task,) = await o.claim()
        o.advance(90)
        now = o.clock.now()
        end = complete(task, Succeeded("1"), now=now, chance=0.0, started_at=now.wall - 90 * SECOND)
        await o.storage.exchange([end], None, now=now)
        seen = await o.schedules.rehearse(
            read_schedule({"name": "report", "every": 60}), past=HOUR, future=10 * MINUTE * SECOND
        )
        assert (len(seen.past), len(seen.future), seen.typical_run) == (60, 10, 90 * SECOND)
        assert seen.overlaps == 35

    office(story)


def test_a_calendar_counts_fires_by_the_hour(office) -> None:
    async def story(o):
        await o.create(schedule_id="a", cron="*/20 * * * *")
        await o.create(schedule_id="b", cron="0 1 * * *")
        await o.create(schedule_id="c", cron="0 1 * * *", enabled=False)
        seen = await o.schedules.calendar(START, START + 2 * HOUR)
        assert [(bucket.start, bucket.count) for bucket in seen.buckets] == [(START, 2), (START + HOUR, 4)]
        assert seen.buckets[1].schedules == (("a", 3), ("b", 1))
        assert not seen.truncated
        with pytest.raises(InvalidValue):
            await o.schedules.calendar(START, START)

    office(story)
