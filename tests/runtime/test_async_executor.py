"""The async executor: runners that are used again, replaced when they were changed, and never lost."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from angelica.current import CURRENT
from angelica.domain.outcome import Cancelled, Failed, Released, Succeeded
from angelica.runtime.executors.asyncio import AsyncExecutor
from tests.runtime.house_of_attempts import assignment, executor_of, run, until

MARK: ContextVar[str] = ContextVar("MARK", default="clean")


def test_a_runner_is_used_again_unless_its_handler_changed_the_context():
    async def story():
        runners = []

        async def quiet():
            runners.append(asyncio.current_task())

        async def loud():
            runners.append(asyncio.current_task())
            MARK.set("dirty")

        async with executor_of(AsyncExecutor, 1) as (executor, done):
            for n, handler in enumerate((quiet, quiet, loud, quiet)):
                executor.submit([assignment(handler, str(n))])
                await done.wait(n + 1)
        first, second, third, fourth = runners
        assert first is second is third
        assert fourth is not third

    run(story())


def test_a_handler_sees_itself_and_rest_sees_nobody():
    async def story():
        seen = []

        async def look():
            await asyncio.sleep(0)
            seen.append(CURRENT.get())

        async with executor_of(AsyncExecutor, 2) as (executor, done):
            made = [assignment(look, str(n)) for n in range(4)]
            executor.submit(made)
            await done.wait(4)
        assert sorted(each.task_id for each in seen) == ["0", "1", "2", "3"]
        assert CURRENT.get() is None

    run(story())


def test_no_more_than_the_slots_run_and_the_rest_waits_in_order():
    async def story():
        go, begun = asyncio.Event(), []

        async def waits():
            begun.append(CURRENT.get().task_id)
            await go.wait()

        async with executor_of(AsyncExecutor, 2) as (executor, done):
            made = [assignment(waits, str(n)) for n in range(5)]
            executor.submit(made)
            await until(lambda: len(begun) == 2)
            assert executor.load() == 5
            assert executor.first_waiting() is made[2]
            assert executor.recall(made[3]) is True
            assert executor.recall(made[0]) is False
            assert executor.withdraw() == [made[2], made[4]]
            assert (executor.load(), executor.first_waiting()) == (2, None)
            go.set()
            await done.wait(2)
            assert begun == ["0", "1"]

    run(story())


def test_what_may_not_begin_ends_without_its_handler():
    async def story():
        async def never():
            raise AssertionError

        async with executor_of(AsyncExecutor, 1, begin=lambda made: Released()) as (executor, done):
            executor.submit([assignment(never)])
            await done.wait(1)
            assert done.outcomes == {"t": Released()}

    run(story())


def test_a_stop_reaches_the_handler_and_leaves_the_runner_usable():
    async def story():
        async def sleeps():
            await asyncio.sleep(30)

        async def fine():
            await asyncio.sleep(0)
            return 1

        async with executor_of(AsyncExecutor, 1) as (executor, done):
            first = assignment(sleeps, "a")
            executor.submit([first, assignment(fine, "b")])
            await until(lambda: first.interrupt is not None)
            assert first.stop("cancel", "why") is True
            assert first.stop("timeout") is True
            await done.wait(2)
            assert done.outcomes == {"a": Cancelled(message="why"), "b": Succeeded("1")}
            assert first.interrupt is None

    run(story())


def test_a_cancel_that_nobody_asked_for_is_a_failure():
    async def story():
        async def suicidal():
            asyncio.current_task().cancel()
            await asyncio.sleep(30)

        async with executor_of(AsyncExecutor, 1) as (executor, done):
            executor.submit([assignment(suicidal, "a")])
            await done.wait(1)
            assert isinstance(done.outcomes["a"], Failed)

    run(story())


def test_a_runner_that_dies_at_rest_is_replaced():
    async def story():
        tasks = []

        async def remembers():
            tasks.append(asyncio.current_task())

        async with executor_of(AsyncExecutor, 1) as (executor, done):
            executor.submit([assignment(remembers, "a")])
            await done.wait(1)
            await asyncio.sleep(0)
            tasks[0].cancel()  # as something that an earlier handler left behind may do
            executor.submit([assignment(remembers, "b")])
            await done.wait(2)
            assert tasks[0] is not tasks[1]

    run(story())


def test_close_ends_handlers_and_gives_up_on_those_that_will_not():
    async def story():
        ended, release = [], asyncio.Event()

        async def cleans_up():
            try:
                await asyncio.sleep(30)
            finally:
                ended.append(1)

        async def stubborn():
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        async with executor_of(AsyncExecutor, 2) as (executor, _):
            made = [assignment(cleans_up, "a"), assignment(stubborn, "b")]
            executor.submit(made)
            await until(lambda: all(each.interrupt is not None for each in made))
        assert ended == [1]
        release.set()
        await until(lambda: len(asyncio.all_tasks()) == 1)

    run(story())


def test_handlers_that_never_wait_leave_the_loop_to_others_now_and_then():
    async def story():
        turns = []

        async def busy():
            turns.append("handler")

        async with executor_of(AsyncExecutor, 1) as (executor, done):
            executor.submit([assignment(busy, str(n)) for n in range(200)])
            while len(done.order) < 200:
                turns.append("loop")
                await asyncio.sleep(0)
        longest = max(len(part) for part in " ".join(turns).replace("handler", "h").replace(" ", "").split("loop"))
        assert longest <= 60

    run(story())
