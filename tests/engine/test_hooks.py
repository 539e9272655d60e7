"""Hooks and middleware through a whole engine: what runs when, what may refuse, and that none can break a task."""

from __future__ import annotations

import asyncio

import pytest

import angelica
from angelica.domain.task import State
from angelica.runtime.hooks import HOOKS
from tests.engine.house_of_engines import declare, end_of, engine_on, run, stands, until


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_all_eight_hooks_run(kind, url):
    async def story():
        engine = engine_on(url)
        heard = []
        for name in HOOKS:

            def hook(*given, name=name):
                heard.append(name)

            engine.hook(name)(hook)
        errors = [ValueError("once"), None, angelica.Fail("for good"), angelica.Cancel("enough")]

        def body():
            error = errors.pop(0)
            if error is not None:
                raise error

        f = declare(engine, kind, body, retries=1, backoff=angelica.Fixed(0.0))
        submit, attempt = ["before_submit", "after_submit"], ["before_run", "after_run"]
        async with engine:
            for ends in (["on_retry", "on_success"], ["on_failure"], ["on_cancel"]):
                heard.clear()
                await end_of(await f.aenqueue())
                await until(lambda ends=ends: ends[-1] in heard)
                expected = list(submit)
                for end in ends:
                    expected += [*attempt, end]
                assert heard == expected

    run(story())


def test_hooks_may_be_coroutines_and_belong_to_a_queue_or_a_function():
    async def story():
        engine = engine_on()
        heard = []

        @engine.hook("on_success", queue="mail")
        async def on_mail(task, end):
            await asyncio.sleep(0)
            heard.append(("mail", task.queue))

        async def mine(task, end):
            heard.append(("mine", task.function))

        @engine.task(name="one", hooks={"on_success": mine})
        async def one(): ...

        @engine.task(name="two")
        async def two(): ...

        async with engine:
            await end_of(await one.aenqueue())
            await end_of(await two.using(queue="mail").aenqueue())
            await end_of(await two.aenqueue())
            await until(lambda: len(heard) >= 2)
        assert heard == [("mine", "one"), ("mail", "mail")]

    run(story())


def test_a_hook_may_refuse_a_task_or_change_its_headers_and_labels():
    async def story():
        engine = engine_on()

        @engine.hook("before_submit")
        def gatekeeper(submission):
            if submission.kwargs.get("n") == 13:
                raise angelica.SubmitRefused("not that one")
            submission.headers["tenant"] = "acme"
            submission.labels["checked"] = "yes"

        @engine.task
        async def f(n: int, context: angelica.Context):
            return [dict(context.headers), dict(context.labels)]

        async with engine:
            with pytest.raises(angelica.SubmitRefused, match="not that one"):
                await f.aenqueue(n=13)
            assert await (await f.aenqueue(n=1)).aresult(5) == [{"tenant": "acme"}, {"checked": "yes"}]
            with pytest.raises(angelica.SubmitRefused):
                await f.aenqueue_many([{"n": 1}, {"n": 13}])
            assert len((await engine.service.list(angelica_filter())).items) == 1

    run(story())


def angelica_filter():
    from angelica.storage.protocol import TaskFilter

    return TaskFilter()


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_hooks_that_fail_are_logged_and_change_nothing(kind, caplog):
    async def story():
        engine = engine_on()
        for name in HOOKS:

            def hook(*given):
                raise LookupError("a broken hook")

            engine.hook(name)(hook)

        if kind == "async":

            @engine.task(retries=0)
            async def f():
                return 1
        else:

            @engine.task(retries=0)
            def f():
                return 1

        async with engine:
            assert await (await f.aenqueue()).aresult(5) == 1
        assert sum("failed" in record.message for record in caplog.records) >= 5

    run(story())


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_middleware_wraps_handlers_the_first_one_outermost(kind):
    async def story():
        engine = engine_on()
        order = []

        def named(name):
            def middleware(function, handler):
                if function.is_async:

                    async def call(*args, **kwargs):
                        order.append(f"{name} in")
                        result = await handler(*args, **kwargs)
                        order.append(f"{name} out")
                        return f"{name}({result})"
                else:

                    def call(*args, **kwargs):
                        order.append(f"{name} in")
                        result = handler(*args, **kwargs)
                        order.append(f"{name} out")
                        return f"{name}({result})"

                return call

            return middleware

        engine.middleware(named("outer"))
        engine.middleware(named("inner"))
        if kind == "async":

            @engine.task
            async def f(n: int):
                return n
        else:

            @engine.task
            def f(n: int):
                return n

        async with engine:
            assert await (await f.aenqueue(7)).aresult(5) == "outer(inner(7))"
            assert order == ["outer in", "inner in", "inner out", "outer out"]
            assert await (await f.aenqueue(8)).aresult(5) == "outer(inner(8))"

    run(story())


@pytest.mark.parametrize("broken", ["raises", "returns nothing"])
def test_middleware_that_is_broken_fails_its_tasks_and_not_the_worker(broken):
    async def story():
        engine = engine_on()

        @engine.middleware
        def middleware(function, handler):
            if function.name == "well":
                return handler
            if broken == "raises":
                raise LookupError("cannot wrap")
            return None

        @engine.task(retries=0)
        async def ill(): ...

        @engine.task(name="well")
        async def well():
            return 1

        async with engine:
            task = await end_of(await ill.aenqueue())
            assert task.state is State.FAILED
            assert await (await well.aenqueue()).aresult(5) == 1

    run(story())


def test_events_reach_their_receivers_and_a_receiver_that_fails_stops_nobody():
    from angelica.domain.events import EngineState, TasksEnded, TasksSubmitted

    async def story():
        engine = engine_on()
        heard = []

        def broken(event):
            raise LookupError

        for kind in (TasksSubmitted, TasksEnded, EngineState):
            engine.on(kind, broken)
            engine.on(kind, heard.append)

        @engine.task
        async def f(): ...

        async with engine:
            handle = await f.aenqueue()
            await stands(handle, State.SUCCEEDED)
        assert [type(event).__name__ for event in heard] == [
            "EngineState",
            "TasksSubmitted",
            "TasksEnded",
            "EngineState",
            "EngineState",
        ]
        assert [event.state for event in heard if isinstance(event, EngineState)] == [
            "RUNNING",
            "SHUTDOWN",
            "TERMINATED",
        ]

    run(story())
