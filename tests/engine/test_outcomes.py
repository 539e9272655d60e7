"""How attempts end: results, exceptions of every kind, signals, retries, and what is stored of each."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import pairwise

import pytest

import angelica
from angelica.domain.task import State
from angelica.errors import TaskCancelled, TaskFailed
from tests.engine.house_of_engines import declare, end_of, engine_on, run, stands

KINDS = ["async", "thread"]
NOW = angelica.Fixed(0.0)


class Rude(Exception):
    def __str__(self):
        raise RuntimeError("no text for you")


class Ruder(Exception):
    def __str__(self):
        raise SystemExit(3)


def recurse():
    return recurse()


def raising(error):
    def body():
        raise error

    return body


def outcome_of(kind, body, **given):
    """Run one task to its end, then one more, which a worker that was harmed could not run."""

    async def story():
        engine = engine_on()
        function = declare(engine, kind, body, **{"retries": 0, **given})

        @engine.task(executor=kind) if kind == "thread" else engine.task
        def unharmed():
            return "well"

        async with engine:
            task = await end_of(await function.aenqueue())
            assert await (await unharmed.aenqueue()).aresult(5) == "well"
            return task

    return run(story())


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_comes_back(kind, url):
    async def story():
        engine = engine_on(url)
        function = declare(engine, kind, lambda: {"a": [1, None, "ü"]})
        async with engine:
            handle = await function.aenqueue()
            assert await handle.aresult(10) == {"a": [1, None, "ü"]}
            task = handle.task
            assert (task.state, task.attempt, task.failures) == (State.SUCCEEDED, 1, 0)
            assert task.spec.created_at <= task.started_at <= task.finished_at

    run(story())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError("no"), "ValueError"),
        (SystemExit(1), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (StopIteration(), None),  # a coroutine makes it a RuntimeError
        (BaseException("bare"), "BaseException"),
        (ExceptionGroup("many", [ValueError("a"), TypeError("b")]), "ExceptionGroup"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_a_handler_raises_ends_its_attempt_and_nothing_else(kind, error, name):
    task = outcome_of(kind, raising(error))
    assert task.state is State.FAILED
    assert task.error.reason == "exception"
    assert name is None or task.error.type == name
    assert task.error.attempt == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [Rude(), Ruder()], ids=["Exception", "SystemExit"])
def test_an_exception_without_a_text_is_stored_all_the_same(kind, error):
    task = outcome_of(kind, raising(error))
    assert task.state is State.FAILED
    assert type(error).__name__ in task.error.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_recursion_error_is_a_failure_like_any_other(kind):
    task = outcome_of(kind, recurse)
    assert (task.state, task.error.type) == (State.FAILED, "RecursionError")
    assert len(task.error.stack) <= 16_384 + 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [ValueError, angelica.Fail, angelica.Cancel], ids=lambda error: error.__name__)
def test_a_message_of_a_megabyte_is_cut(kind, error):
    task = outcome_of(kind, raising(error("x" * 1_000_000)))
    assert len(task.error.message) <= 4096
    assert len(task.error.stack) <= 16_384 + 10


@pytest.mark.parametrize("kind", KINDS)
def test_text_that_no_store_takes_is_written_out(kind):
    task = outcome_of(kind, raising(ValueError("a\x00b\ud800c")))
    assert task.error.message == "a\\x00b\\ud800c"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, float("nan"), float("inf"), 10**5000, "\ud800", "nul\x00", lambda: 0, b"raw"],
    ids=lambda value: type(value).__name__,
)
def test_a_result_that_is_not_json_fails_at_once_and_is_not_tried_again(kind, value):
    calls = []

    def body():
        calls.append(1)
        return value

    task = outcome_of(kind, body, retries=3, backoff=NOW)
    assert (task.state, task.error.reason) == (State.FAILED, "result_not_serialisable")
    assert len(calls) == task.attempt == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_that_contains_itself_fails_at_once(kind):
    value = []
    value.append(value)
    task = outcome_of(kind, lambda: value, retries=3, backoff=NOW)
    assert (task.state, task.error.reason, task.attempt) == (State.FAILED, "result_not_serialisable", 1)


class Hostile(list):
    """A list that cannot be read."""

    def __iter__(self):
        raise SystemExit(9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_whose_own_code_fails_ends_the_attempt(kind):
    task = outcome_of(kind, lambda: Hostile([1]), retries=3, backoff=NOW)
    assert task.state in (State.FAILED, State.SUCCEEDED)  # whether it is read through its own code is the codec's


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_that_is_too_large_fails_at_once(kind):
    task = outcome_of(kind, lambda: "x" * 70_000, retries=3, backoff=NOW)
    assert (task.state, task.error.reason, task.attempt) == (State.FAILED, "result_too_large", 1)


@pytest.mark.parametrize("kind", KINDS)
def test_retries_are_spent_and_then_the_task_fails(kind, url):
    calls = []

    def body():
        calls.append(1)
        raise ValueError(len(calls))

    async def story():
        engine = engine_on(url)
        function = declare(engine, kind, body, retries=2, backoff=angelica.Fixed(0.01))
        async with engine:
            handle = await function.aenqueue()
            with pytest.raises(TaskFailed, match="ValueError: 3"):
                await handle.aresult(10)
            task = handle.task
            assert (task.attempt, task.failures, len(calls)) == (3, 3, 3)
            attempts = await engine.service.attempts(handle.id)
            assert [(each.attempt, each.outcome, each.error.message) for each in attempts] == [
                (1, "failed", "1"),
                (2, "failed", "2"),
                (3, "failed", "3"),
            ]

    run(story())


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (angelica.Fixed(0.05, jitter=0.0), [0.05, 0.05]),
        (angelica.Linear(0.04, jitter=0.0), [0.04, 0.08]),
        (angelica.Exponential(base=0.03, jitter=0.0), [0.03, 0.06]),
        (lambda failures: [0.06, 0.02][failures], [0.06, 0.02]),
    ],
    ids=["fixed", "linear", "exponential", "custom"],
)
def test_each_backoff_waits_at_least_as_long_as_it_says(backoff, waits):
    async def story():
        engine = engine_on()

        @engine.task(retries=2, backoff=backoff)
        async def fails():
            raise ValueError

        async with engine:
            task = await end_of(await fails.aenqueue())
            attempts = await engine.service.attempts(task.id)
            gaps = [later.started_at - each.finished_at for each, later in pairwise(attempts)]
            assert all(gap >= wait * 1_000_000 for gap, wait in zip(gaps, waits, strict=True))
            assert all(gap <= wait * 1_000_000 + 1_500_000 for gap, wait in zip(gaps, waits, strict=True))

    run(story())


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e300, -5.0, "soon", None], ids=str)
def test_a_backoff_of_the_users_own_that_answers_nonsense_harms_nobody(odd):
    task = outcome_of("async", raising(ValueError()), retries=0, backoff=lambda failures: odd)
    assert task.state is State.FAILED


def test_a_backoff_of_the_users_own_that_fails_leaves_the_wait_to_the_policy():
    async def story():
        engine = engine_on()

        def backoff(failures):
            raise LookupError

        @engine.task(retries=1, backoff=backoff)
        async def fails():
            raise ValueError

        async with engine:
            task = await stands(await fails.aenqueue(), State.SCHEDULED)
            assert task.failures == 1

    run(story())


def test_retry_on_takes_a_base_class():
    async def story():
        engine = engine_on()

        @engine.task(retries=1, backoff=NOW, retry_on=[OSError])
        async def breaks(kind: str):
            raise {"child": ConnectionResetError, "other": ValueError}[kind]("x")

        async with engine:
            assert (await end_of(await breaks.aenqueue("child"))).attempt == 2
            assert (await end_of(await breaks.aenqueue("other"))).attempt == 1

    run(story())


@pytest.mark.parametrize("kind", KINDS)
def test_retry_after_says_when_and_spends_a_retry(kind):
    calls = []

    def body():
        calls.append(1)
        if len(calls) < 3:
            raise angelica.Retry("busy", after=0.05)
        return len(calls)

    task = outcome_of(kind, body, retries=2, backoff=angelica.Fixed(3_600))
    assert (task.state, task.result, task.failures) == (State.SUCCEEDED, "3", 2)


@pytest.mark.parametrize("kind", KINDS)
def test_fail_spends_all_retries(kind):
    task = outcome_of(kind, raising(angelica.Fail("hopeless")), retries=5, backoff=NOW)
    assert (task.state, task.attempt, task.error.reason, task.error.message) == (State.FAILED, 1, "fail", "hopeless")


@pytest.mark.parametrize("kind", KINDS)
def test_cancel_from_inside_ends_the_task_as_cancelled(kind):
    task = outcome_of(kind, raising(angelica.Cancel("not needed")), retries=5, backoff=NOW)
    assert (task.state, task.attempt, task.error.message) == (State.CANCELLED, 1, "not needed")


@pytest.mark.parametrize("kind", KINDS)
def test_snooze_runs_again_later_at_no_cost(kind):
    calls = []

    def body():
        calls.append(1)
        if len(calls) < 4:
            raise angelica.Snooze(0.02)

    task = outcome_of(kind, body, retries=0)
    assert (task.state, task.attempt, task.failures, len(calls)) == (State.SUCCEEDED, 4, 0, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("after", [float("nan"), float("inf"), "soon", dt.timedelta(1)], ids=str)
@pytest.mark.parametrize("signal", [angelica.Snooze, angelica.Retry], ids=lambda signal: signal.__name__)
def test_a_signal_with_a_wait_that_is_no_number_harms_nobody(kind, after, signal):
    def body():
        raise angelica.Snooze(after) if signal is angelica.Snooze else angelica.Retry(after=after)

    assert outcome_of(kind, body, retries=0).state is State.FAILED


@pytest.mark.parametrize("after", [1e300, 1e18], ids=str)
def test_a_wait_beyond_all_measure_is_stored_and_not_a_crash(after, url):
    async def story():
        engine = engine_on(url)

        @engine.task(retries=1)
        async def later(snooze: bool):
            if snooze:
                raise angelica.Snooze(after)
            raise angelica.Retry(after=after)

        @engine.task
        async def unharmed():
            return 1

        async with engine:
            handles = [await later.aenqueue(True), await later.aenqueue(False)]
            assert await (await unharmed.aenqueue()).aresult(5) == 1
            for handle in handles:
                assert (await stands(handle, State.SCHEDULED)).attempt == 1

    run(story())


def test_a_cancelled_result_raises_what_happened():
    async def story():
        engine = engine_on()

        @engine.task
        async def stops():
            raise angelica.Cancel("enough")

        async with engine:
            handle = await stops.aenqueue()
            with pytest.raises(TaskCancelled, match="enough"):
                await handle.aresult(5)

    run(story())


def test_stored_arguments_that_no_longer_fit_fail_without_a_try():
    async def story():
        engine = engine_on()
        calls = []

        @engine.task(retries=3)
        async def one(n: int):
            calls.append(n)

        async with engine:
            spec = (await one.using(delay=3_600).aenqueue(1)).task.spec
            older = replace(spec, id="older", payload='{"args":[1,2,3],"kwargs":{}}', run_at=spec.created_at)
            await engine.storage.enqueue_many([older], now=engine.clock.now())
            task = await end_of(await engine.ahandle("older"))
            assert (task.state, task.error.reason, task.attempt) == (State.FAILED, "invalid_arguments", 1)
            assert calls == []

    run(story())
