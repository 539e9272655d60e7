"""The hub: each event once to each who asked for its kind, and the hooks of ended tasks."""

from __future__ import annotations

import asyncio
import logging

from angelica.clock import ManualClock
from angelica.domain.events import EngineState, TasksEnded
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Cancelled, Crashed, Failed, Released, Snoozed, Succeeded
from angelica.domain.task import State, Task, TaskError
from angelica.runtime.hooks import HOOKS, Hooks
from angelica.runtime.hub import Hub
from tests.runtime.house_of_attempts import run
from tests.storage.world import new

NOW = ManualClock().now()
ERROR = TaskError("exception", type="ValueError", message="no")


def ended(*outcomes):
    ends = []
    for n, outcome in enumerate(outcomes):
        task = Task(new(f"t{n}"), State.RUNNING, attempt=1)
        ends.append((task, complete(task, outcome, now=NOW, chance=0.0)))
    return TasksEnded(tuple(ends))


def test_receivers_get_the_kinds_they_asked_for_and_may_fail(caplog):
    hub, heard = Hub(Hooks()), []

    def broken(event):
        raise LookupError

    hub.subscribe(EngineState, broken)
    hub.subscribe(EngineState, heard.append)
    hub.subscribe(object, heard.append)
    hub.emit(EngineState("RUNNING"))
    hub.emit(ended())
    assert heard == [EngineState("RUNNING"), EngineState("RUNNING"), ended()]
    assert "failed" in caplog.text


def test_each_end_runs_its_own_hook():
    async def story():
        hooks, heard = Hooks(), []
        for name in HOOKS:
            hooks.on(name)(lambda task, end, name=name: heard.append((name, task.id)))
        hub = Hub(hooks)
        hub.emit(
            ended(
                Succeeded("1"),
                Failed(ERROR),
                Failed(ERROR, final=True),
                Cancelled(),
                Released(),
                Snoozed(NOW.wall + 5),
                Crashed(ERROR),
            )
        )
        await hub.settle()
        assert heard == [
            ("on_success", "t0"),
            ("on_retry", "t1"),
            ("on_failure", "t2"),
            ("on_cancel", "t3"),
            ("on_retry", "t6"),
        ]

    run(story())


def test_settle_waits_for_hooks_and_a_failing_one_harms_nobody():
    async def story():
        hooks, heard = Hooks(), []

        @hooks.on("on_success")
        async def broken(task, end):
            raise LookupError

        @hooks.on("on_success")
        async def slow(task, end):
            await asyncio.sleep(0.01)
            heard.append(task.id)

        hub = Hub(hooks)
        hub.emit(ended(Succeeded("1")))
        await hub.settle()
        assert heard == ["t0"]

    run(story())


def test_a_task_that_failed_for_good_is_said_aloud_once(caplog):
    hub = Hub(Hooks())
    with caplog.at_level(logging.ERROR, "angelica.events"):
        hub.emit(ended(Failed(ERROR), Failed(ERROR, final=True)))
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "t1" in record.message
    assert "ValueError: no" in record.message
    assert (record.task_id, record.attempt, record.queue) == ("t1", 1, "default")
