"""The handle: waiting, results, and what is raised for each end, over a desk that answers from a script."""

from __future__ import annotations

import asyncio

import pytest

from angelica.domain.task import State, Task, TaskError
from angelica.errors import TaskCancelled, TaskFailed, WaitTimeout
from angelica.runtime.handle import TaskHandle
from angelica.storage.protocol import LogLine
from tests.runtime.house_of_attempts import run
from tests.storage.world import new


def task(state, **parts):
    return Task(new("t", "shop.pay"), state, **parts)


class Desk:
    """Answers `wait` and `get` from a list of tasks; the last one stands."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.waits = []

    async def get(self, task_id):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def wait(self, task_id, timeout):
        self.waits.append(timeout)
        return await self.get(task_id)

    async def cancel(self, task_id, *, reason=""):
        return "requested", task(State.RUNNING, cancel_requested=True, cancel_reason=reason)

    async def retry(self, task_id, *, delay=0.0):
        return Task(new("t2", "shop.pay"), State.QUEUED)

    async def logs(self, task_id, *, after=(0, 0)):
        return tuple(line for line in LINES if (line.attempt, line.seq) > after)[:2]


LINES = [LogLine("t", 1, n, n, "log", "INFO", "x", f"line {n}") for n in (1, 2, 3)]


def handle(state, *answers):
    return TaskHandle(task(state), Desk(*answers), asyncio.run)


def test_it_shows_what_was_last_read():
    made = handle(State.QUEUED, task(State.RUNNING), task(State.SUCCEEDED, result="1"))
    assert (made.id, made.name, made.state, made.status) == ("t", "shop.pay", State.QUEUED, "PENDING")
    assert made.refresh().status == "RUNNING"
    assert repr(made) == "<TaskHandle t shop.pay running>"
    assert (made.created, made.durable) == (True, True)


def test_a_result_is_waited_for_as_often_as_it_takes():
    made = handle(State.QUEUED, task(State.RUNNING), task(State.SUCCEEDED, result='{"a":1}'))
    assert made.result(5) == {"a": 1}
    assert made.result() == {"a": 1}
    assert len(made._service.waits) == 2


def test_nothing_is_a_result_too():
    assert handle(State.SUCCEEDED, task(State.SUCCEEDED)).result() is None


def test_a_failed_task_raises_its_error():
    error = TaskError("exception", type="ValueError", message="no", attempt=4)
    with pytest.raises(TaskFailed, match="task t failed: ValueError: no") as caught:
        handle(State.QUEUED, task(State.FAILED, error=error)).result()
    assert caught.value.error == error


def test_a_cancelled_task_raises_why():
    for error, why in ((TaskError("cancelled", message="enough"), "enough"), (TaskError("expired"), "expired")):
        with pytest.raises(TaskCancelled, match=why):
            handle(State.QUEUED, task(State.CANCELLED, error=error)).result()


def test_a_time_out_says_how_the_task_stands():
    made = handle(State.QUEUED, task(State.RUNNING))
    with pytest.raises(WaitTimeout, match="it is running"):
        made.wait(0.001)
    with pytest.raises(WaitTimeout):
        made.result(0)


def test_cancel_retry_and_logs():
    made = handle(State.QUEUED, task(State.QUEUED))
    assert made.cancel("why") == "requested"
    assert made.task.cancel_reason == "why"
    assert made.retry().id == "t2"
    assert made.logs() == tuple(LINES)


def test_the_awaited_forms_do_the_same():
    async def story():
        made = handle(State.QUEUED, task(State.SUCCEEDED, result="7"))
        assert await made.aresult(1) == 7
        assert (await made.await_()).state is State.SUCCEEDED
        assert (await made.arefresh()).status == "SUCCEEDED"
        assert await made.acancel() == "requested"
        assert (await made.aretry()).id == "t2"
        assert len(await made.alogs()) == 3

    run(story())
