"""The scheduler: fires what is due once, on however many nodes, whatever is edited meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from angelica.clock import SECOND
from angelica.domain.events import ScheduleChanged, SchedulesFired, TasksSubmitted
from angelica.domain.fire import task_id_of
from angelica.domain.outcome import Failed, Succeeded
from angelica.domain.schedule import Phase, RunSpec, Schedule, SkipReason, TriggerSpec
from angelica.domain.task import State, TaskError
from angelica.runtime.scheduler import Scheduler
from angelica.storage.protocol import SchedulePut, Topic
from tests.schedules.office import START, STORES, fire_times, in_office

MINUTE = 60


@pytest.fixture(params=STORES)
def office(request, tmp_path):
    return lambda story: in_office(request.param, tmp_path, story)


def test_a_due_schedule_makes_one_task_and_moves_on(office) -> None:
    async def story(o):
        await o.create(kwargs={"day": 3}, task={"queue": "mail", "priority": 7, "labels": {"a": "b"}})
        assert await o.fire() == 0
        o.advance(MINUTE)
        assert await o.fire() == 1
        assert await o.fire() == 0
        (task,) = await o.tasks()
        assert task.id == task_id_of("s", START + MINUTE * SECOND)
        assert (task.function, task.queue, task.spec.priority) == ("report", "mail", 7)
        assert task.spec.payload == '{"args":[],"kwargs":{"day":3}}'
        assert task.spec.policy.retries == 1
        assert (task.spec.extras.schedule_id, dict(task.spec.extras.labels)) == ("s", {"a": "b"})
        schedule = await o.schedules.get("s")
        assert (schedule.next_fire_at, schedule.runs, schedule.version) == (START + 2 * MINUTE * SECOND, 1, 1)
        (record,) = await o.schedules.fires("s")
        assert (record.kind, record.task_id, record.fire_time) == ("scheduled", task.id, START + MINUTE * SECOND)

    office(story)


def test_what_fired_is_told(office) -> None:
    async def story(o):
        await o.create()
        o.advance(MINUTE + 2)
        await o.fire()
        fired = [event for event in o.events if isinstance(event, SchedulesFired)]
        assert [(len(event.firings), event.lag) for event in fired] == [(1, 2 * SECOND)]
        submitted = [event for event in o.events if isinstance(event, TasksSubmitted)]
        assert [task.function for event in submitted for task in event.tasks] == ["report"]

    office(story)


def test_the_lag_is_that_of_the_earliest(office) -> None:
    async def story(o):
        await o.create()
        o.advance(MINUTE + 7)
        assert await o.schedules.lag() == 7 * SECOND
        await o.scheduler.tick()
        assert o.scheduler.lag == 7 * SECOND
        assert await o.schedules.lag() == 0
        await o.scheduler.tick()
        assert o.scheduler.lag == 0

    office(story)


def test_many_nodes_fire_each_moment_once(office) -> None:
    async def story(o):
        for n in range(40):
            await o.create(schedule_id=f"s{n}", overlap="allow")
        nodes = [Scheduler(o.storage, means=o.means, poll=60.0, batch=7) for _ in range(5)]
        for _ in range(3):
            o.advance(MINUTE)
            for _ in range(20):
                await asyncio.gather(*(node.tick() for node in nodes))
        tasks = await o.tasks()
        assert len(tasks) == len({task.id for task in tasks}) == 120
        assert sorted(set(fire_times(tasks))) == [60, 120, 180]
        runs = [(await o.schedules.get(f"s{n}")).runs for n in range(40)]
        assert runs == [3] * 40

    office(story)


def test_a_full_batch_goes_on_at_once(office) -> None:
    async def story(o):
        for n in range(25):
            await o.create(schedule_id=f"s{n}")
        o.advance(MINUTE)
        node = Scheduler(o.storage, means=o.means, poll=60.0, batch=10)
        assert [await node.step(), await node.step()] == [0.0, 0.0]
        assert len(await o.tasks()) == 20
        assert await node.tick() == (5, 5)

    office(story)


def test_a_waiting_node_hears_of_a_schedule_that_is_due_earlier(office) -> None:
    async def story(o):
        waiting = asyncio.create_task(o.scheduler.step())
        await asyncio.sleep(0)
        await o.create()
        assert await asyncio.wait_for(waiting, 10) == 0.0

    office(story)


def test_a_node_wakes_at_the_next_due_moment(office) -> None:
    async def story(o):
        await o.create()
        o.clock.advance(MINUTE * SECOND - 1_000)
        assert await asyncio.wait_for(o.scheduler.step(), 10) == 0.0
        assert o.storage.mark(Topic.SCHEDULES) >= 1

    office(story)


def test_one_that_cannot_be_evaluated_is_paused_and_holds_up_no_other(office) -> None:
    async def story(o):
        broken = Schedule(
            "broken", TriggerSpec(cron="* * * * *", timezone="Mars/Olympus"), RunSpec("report"), next_fire_at=START
        )
        await o.storage.put_schedules([SchedulePut(broken)], now=o.clock.now())
        await o.create()
        o.advance(MINUTE)
        assert (await o.scheduler.tick())[0] == 2
        assert (await o.scheduler.tick())[0] == 0
        assert fire_times(await o.tasks()) == [60]
        schedule = await o.schedules.get("broken")
        assert schedule.phase is Phase.PAUSED
        assert "Mars/Olympus" in schedule.phase_reason
        assert ScheduleChanged("broken", "paused") in o.events

    office(story)


@pytest.mark.parametrize("what", ["pause", "patch", "delete", "fire"])
def test_a_firing_that_was_decided_before_a_change_writes_nothing(office, what) -> None:
    async def story(o):
        await o.create()
        o.advance(MINUTE)
        late = await o.decided()
        assert late.fires
        match what:
            case "pause":
                # A pause fires first what is due, as every edit does; the late node must not repeat it.
                await o.schedules.pause("s", "quiet")
            case "patch":
                await o.schedules.patch("s", {"cron": "30 * * * *"})
            case "delete":
                await o.schedules.delete("s")
            case "fire":
                await o.fire()
        before = len(await o.tasks())
        assert await o.storage.fire_many([late], now=o.clock.now()) == (False,)
        assert len(await o.tasks()) == before == (0 if what == "delete" else 1)
        if what == "pause":
            assert (await o.schedules.get("s")).phase is Phase.PAUSED

    office(story)


def test_an_edit_between_two_ticks_neither_loses_nor_repeats_a_fire(office) -> None:
    async def story(o):
        await o.create(overlap="allow")
        o.advance(MINUTE)
        await o.schedules.patch("s", {"cron": "*/2 * * * *"})
        assert fire_times(await o.tasks()) == [60]
        o.advance(MINUTE)
        await o.fire()
        await o.schedules.patch("s", {"cron": "* * * * *"})
        o.advance(MINUTE)
        await o.fire()
        assert fire_times(await o.tasks()) == [60, 120, 180]

    office(story)


def test_a_fire_beside_an_unfinished_run_is_skipped_with_its_reason(office) -> None:
    async def story(o):
        await o.create()
        o.advance(MINUTE)
        await o.fire()
        o.advance(MINUTE)
        await o.fire()
        o.advance(MINUTE)
        await o.fire()
        assert fire_times(await o.tasks()) == [60]
        span, run = await o.schedules.fires("s")
        assert (span.reason, span.count, run.task_id is not None) == (SkipReason.OVERLAP, 2, True)
        await o.run_all()
        o.advance(MINUTE)
        await o.fire()
        assert fire_times(await o.tasks()) == [60, 240]

    office(story)


def test_queued_runs_go_one_after_the_other(office) -> None:
    async def story(o):
        await o.create(overlap="queue_all")
        for _ in range(3):
            o.advance(MINUTE)
            await o.fire()
        assert [task.state for task in await o.tasks()] == [State.QUEUED, State.WAITING, State.WAITING]
        assert fire_times(await o.run_all()) == [60, 120, 180]

    office(story)


def test_delay_counts_from_the_end_of_the_run(office) -> None:
    async def story(o):
        await o.create(every="90s", mode="delay")
        o.advance(90)
        await o.fire()
        assert (await o.schedules.get("s")).next_fire_at is None
        o.advance(1000)
        await o.end(await o.claim())
        schedule = await o.schedules.get("s")
        assert schedule.next_fire_at == o.clock.wall() + 90 * SECOND
        o.advance(90)
        await o.fire()
        assert fire_times(await o.tasks()) == [90, 1180]

    office(story)


def test_failures_in_a_row_pause_it_and_a_resume_forgives_them(office) -> None:
    async def story(o):
        await o.create(pause_after_failures=2, task={"retries": 0})
        for n in range(3):
            o.advance(MINUTE)
            await o.fire()
            ended = await o.run_all(Succeeded("1") if n == 0 else Failed(TaskError("exception", "ValueError")))
            assert len(ended) == 1
        schedule = await o.schedules.get("s")
        assert (schedule.phase, schedule.streak) == (Phase.PAUSED, 2)
        o.advance(10 * MINUTE)
        assert await o.fire() == 0
        schedule = await o.schedules.resume("s")
        assert (schedule.phase, schedule.streak, schedule.paused_at) == (Phase.ACTIVE, 0, None)
        assert await o.tasks(State.QUEUED) == ()

    office(story)


def test_max_runs_completes_it(office) -> None:
    async def story(o):
        await o.create(max_runs=2, overlap="allow")
        for _ in range(4):
            o.advance(MINUTE)
            await o.fire()
        assert fire_times(await o.tasks()) == [60, 120]
        schedule = await o.schedules.get("s")
        assert (schedule.phase, schedule.next_fire_at, schedule.runs) == (Phase.COMPLETED, None, 2)

    office(story)


def test_what_was_missed_while_no_node_ran_runs_once(office) -> None:
    async def story(o):
        await o.create()
        o.advance(10 * MINUTE + 30)
        await o.fire()
        (task,) = await o.tasks()
        assert fire_times([task]) == [600]
        assert task.spec.extras.extensions["missed_count"] == 10
        assert sum(record.count for record in await o.schedules.fires("s")) == 10

    office(story)


def test_a_worker_may_leave_the_schedules_to_others(tmp_path) -> None:
    from angelica.engine import Engine

    async def names(**settings) -> set[str]:
        engine = Engine(str(tmp_path / "a.db"), **settings)
        async with engine:
            return {duty.name for duty in engine._node.duties}

    assert "scheduler" in asyncio.run(names())
    assert "scheduler" not in asyncio.run(names(scheduler=False))
