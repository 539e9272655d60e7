"""Ownership: what code declares and what operators edit live side by side, and no deploy undoes an edit."""

from __future__ import annotations

import asyncio
import logging

import pytest

from angelica.clock import SECOND
from angelica.domain.schedule import Overlap, Phase, SkipReason
from angelica.errors import InvalidValue, ScheduleConflict
from angelica.runtime.definition import declared_form, definition_of, override_form
from angelica.runtime.ownership import Declaration
from angelica.runtime.schedule_drafts import read_schedule
from tests.schedules.office import START, STORES, fire_times, in_office

MINUTE = 60


@pytest.fixture(params=STORES)
def office(request, tmp_path):
    return lambda story: in_office(request.param, tmp_path, story)


def declaration(revision=1, source="shop", **fields):
    body = {"schedule_id": "s", "name": "report", **fields}
    if not {"every", "at", "repeat"} & set(body):
        body.setdefault("cron", "* * * * *")
    return Declaration(read_schedule(body), source, revision)


async def deploy(o, *declarations, revision=None, source="shop", **how):
    newest = max((each.revision for each in declarations), default=0) if revision is None else revision
    return await o.schedules.declare(declarations, sources=[source], revision=newest, **how)


def test_a_declared_schedule_is_stored_once_and_then_only_seen(office) -> None:
    async def story(o):
        first = await deploy(o, declaration(kwargs={"day": 1}))
        assert first.created == ("s",)
        made = await o.schedules.get("s")
        assert (made.owner, made.version, made.override) == ("code", 1, None)
        assert definition_of(made) == {"name": "report", "cron": "* * * * *", "kwargs": {"day": 1}}
        o.advance(10)
        assert (await deploy(o, declaration(kwargs={"day": 1}))).unchanged == ("s",)
        again = await o.schedules.get("s")
        assert (again.version, again.next_fire_at) == (1, made.next_fire_at)
        assert again.seen_at == o.clock.wall()

    office(story)


def test_a_deploy_changes_what_it_declares(office) -> None:
    async def story(o):
        await deploy(o, declaration(1))
        o.advance(10)
        assert (await deploy(o, declaration(2, cron="30 * * * *"))).updated == ("s",)
        made = await o.schedules.get("s")
        assert (made.version, made.next_fire_at) == (2, START + 1800 * SECOND)

    office(story)


def test_an_operators_edit_outlives_deploys_until_it_is_reset(office, caplog) -> None:
    async def story(o):
        await deploy(o, declaration(1, grace="1m", task={"queue": "mail", "retries": 2}))
        await o.schedules.patch("s", {"overlap": "allow", "task": {"queue": "slow"}})
        with caplog.at_level(logging.WARNING, "angelica.schedules"):
            said = await deploy(
                o, declaration(2, grace="2m", overlap="queue_one", task={"queue": "fast", "retries": 4})
            )
        assert said.kept == (("s", ("overlap", "task")),)
        assert "an operator's edit of overlap, task is kept" in caplog.text
        made = await o.schedules.get("s")
        assert made.rules.overlap is Overlap.ALLOW
        assert (made.rules.grace, made.run.queue, made.run.policy.retries) == (120 * SECOND, "slow", 4)
        assert declared_form(made)["overlap"] == "queue_one"
        assert override_form(made) == {"overlap": "allow", "task": {"queue": "slow"}}
        made = await o.schedules.reset("s", "task.queue")
        assert (made.run.queue, made.rules.overlap) == ("fast", Overlap.ALLOW)
        made = await o.schedules.reset("s")
        assert (made.rules.overlap, made.override) == (Overlap.QUEUE_ONE, None)
        assert await o.schedules.reset("s") == made

    office(story)


def test_an_operators_trigger_stands_against_another_declared_one(office) -> None:
    async def story(o):
        await deploy(o, declaration(1, cron="0 2 * * *", timezone="Asia/Shanghai", day_match="all"))
        await o.schedules.patch("s", {"every": "5m"})
        await deploy(o, declaration(2, cron="0 4 * * *", day_match="any"))
        made = await o.schedules.get("s")
        assert (made.trigger.cron, made.trigger.every, made.trigger.day_match) == (None, 300 * SECOND, "auto")
        made = await o.schedules.reset("s", "every")
        assert (made.trigger.cron, made.trigger.every, made.trigger.day_match) == ("0 4 * * *", None, "any")

    office(story)


def test_null_takes_a_declared_value_away(office) -> None:
    async def story(o):
        await deploy(o, declaration(1, max_runs=5, kwargs={"day": 1}))
        made = await o.schedules.patch("s", {"max_runs": None})
        assert made.rules.max_runs is None
        await deploy(o, declaration(2, max_runs=9, kwargs={"day": 2}))
        made = await o.schedules.get("s")
        assert (made.rules.max_runs, made.run.payload) == (None, '{"args":[],"kwargs":{"day":2}}')

    office(story)


def test_a_deploy_lifts_no_pause(office) -> None:
    async def story(o):
        await deploy(o, declaration(1))
        await o.schedules.pause("s", "quiet")
        await deploy(o, declaration(2, cron="*/5 * * * *"))
        made = await o.schedules.get("s")
        assert (made.phase, made.phase_reason) == (Phase.PAUSED, "quiet")

    office(story)


def test_what_an_operator_deleted_stays_deleted(office) -> None:
    async def story(o):
        await deploy(o, declaration(1))
        await o.schedules.delete("s")
        assert (await deploy(o, declaration(2))).deleted == ("s",)
        assert (await o.schedules.list()).items == ()
        assert (await deploy(o, declaration(2), redeclare=True)).created == ("s",)

    office(story)


def test_what_is_gone_from_the_code_is_orphaned_and_comes_back_with_it(office) -> None:
    async def story(o):
        await deploy(o, declaration(1), declaration(1, schedule_id="t"))
        await deploy(o, declaration(2, schedule_id="t"))
        gone = await o.schedules.get("s")
        assert (gone.phase, gone.phase_reason) == (Phase.ORPHANED, "gone")
        o.advance(5 * MINUTE + 30)
        await o.fire()
        assert {task.spec.extras.schedule_id for task in await o.tasks()} == {"t"}
        await deploy(o, declaration(3), declaration(3, schedule_id="t"))
        back = await o.schedules.get("s")
        assert (back.phase, back.next_fire_at) == (Phase.ACTIVE, START + 360 * SECOND)
        (span,) = await o.schedules.fires("s")
        assert (span.reason, span.count) == (SkipReason.PAUSED, 5)

    office(story)


def test_code_orphans_only_its_own_and_nothing_newer(office) -> None:
    async def story(o):
        await o.create(schedule_id="api")
        await deploy(o, declaration(5, schedule_id="new"), source="shop")
        await deploy(o, declaration(1, "billing", schedule_id="theirs"), source="billing")
        said = await deploy(o, declaration(1, schedule_id="old"), revision=1)
        assert said.orphaned == ()
        phases = {each.id: each.phase for each in (await o.schedules.list()).items}
        assert set(phases.values()) == {Phase.ACTIVE}
        assert set(phases) == {"api", "new", "theirs", "old"}

    office(story)


def test_an_orphan_that_is_resumed_belongs_to_the_operators(office) -> None:
    async def story(o):
        await deploy(o, declaration(1, kwargs={"day": 4}))
        await deploy(o, revision=2)
        made = await o.schedules.resume("s")
        assert (made.phase, made.owner, made.declared) == (Phase.ACTIVE, "api", None)
        assert definition_of(made) == {"name": "report", "cron": "* * * * *", "kwargs": {"day": 4}}
        assert (await deploy(o, revision=3)).orphaned == ()

    office(story)


def test_one_that_an_operator_paused_is_not_made_active_by_its_return(office) -> None:
    async def story(o):
        await deploy(o, declaration(1))
        await o.schedules.pause("s", "quiet")
        await deploy(o, revision=2)
        await deploy(o, declaration(3))
        assert (await o.schedules.get("s")).phase is Phase.PAUSED

    office(story)


def test_a_declaration_of_older_code_is_ignored_unless_it_is_meant(office, caplog) -> None:
    async def story(o):
        await deploy(o, declaration(2, cron="0 2 * * *"))
        with caplog.at_level(logging.WARNING, "angelica.schedules"):
            assert (await deploy(o, declaration(1, cron="0 9 * * *"))).older == ("s",)
        assert "declared by older code" in caplog.text
        assert (await o.schedules.get("s")).trigger.cron == "0 2 * * *"
        assert (await deploy(o, declaration(1, cron="0 2 * * *"))).unchanged == ("s",)
        assert (await deploy(o, declaration(1, cron="0 9 * * *"))).older == ("s",)
        assert (await deploy(o, declaration(1, cron="0 9 * * *"), redeclare=True)).updated == ("s",)
        assert (await o.schedules.get("s")).trigger.cron == "0 9 * * *"

    office(story)


def test_one_that_is_refused_leaves_the_others_be(office, caplog) -> None:
    async def story(o):
        with caplog.at_level(logging.WARNING, "angelica.schedules"):
            said = await deploy(
                o,
                declaration(schedule_id="a", kwargs={"x": 1}),
                declaration(schedule_id="b", cron="0 0 31 2 *"),
                declaration(schedule_id="c"),
            )
        assert [name for name, _ in said.refused] == ["a", "b"]
        assert said.created == ("c",)
        assert caplog.text.count("is not stored") == 2

    office(story)


def test_a_declaration_adopts_one_of_the_api_with_its_fields_as_edits(office) -> None:
    async def story(o):
        await o.create(cron="0 2 * * *", kwargs={"day": 7})
        await deploy(o, declaration(1, cron="0 4 * * *", grace="1m"))
        made = await o.schedules.get("s")
        assert (made.owner, made.trigger.cron, made.rules.grace) == ("code", "0 2 * * *", 60 * SECOND)
        made = await o.schedules.reset("s")
        assert (made.trigger.cron, made.run.payload) == ("0 4 * * *", '{"args":[],"kwargs":{}}')

    office(story)


def test_only_declared_schedules_can_be_reset(office) -> None:
    async def story(o):
        await o.create()
        with pytest.raises(InvalidValue, match="not declared by code"):
            await o.schedules.reset("s")

    office(story)


def test_the_api_cannot_create_over_a_declared_one(office) -> None:
    async def story(o):
        await deploy(o, declaration(1))
        _, created = await o.schedules.create(
            read_schedule({"schedule_id": "s", "name": "report", "cron": "* * * * *"})
        )
        assert not created
        with pytest.raises(ScheduleConflict):
            await o.create(cron="0 2 * * *")
        made, _ = await o.schedules.put(read_schedule({"schedule_id": "s", "name": "report", "cron": "0 2 * * *"}))
        assert (made.owner, override_form(made)) == ("code", {"cron": "0 2 * * *"})

    office(story)


def test_many_nodes_declare_at_once(office) -> None:
    async def story(o):
        declared = [declaration(1, schedule_id=f"s{n}") for n in range(20)]
        said = await asyncio.gather(*(deploy(o, *declared) for _ in range(4)))
        assert sorted(name for each in said for name in each.created) == sorted(each.id for each in declared)
        o.advance(MINUTE)
        assert await o.fire() == 20
        assert set(fire_times(await o.tasks())) == {60}

    office(story)


def test_a_deploy_fires_first_what_is_due(office) -> None:
    async def story(o):
        await deploy(o, declaration(1))
        o.advance(MINUTE)
        await deploy(o, declaration(2, cron="30 * * * *"))
        assert fire_times(await o.tasks()) == [60]

    office(story)
