"""The thread executor: threads that pull their work, interrupts that land inside the handler or nowhere."""

from __future__ import annotations

import threading
import time

import pytest

from angelica.current import CURRENT
from angelica.domain.outcome import Cancelled, Failed, Released, Succeeded
from angelica.runtime.attempt import Interrupted
from angelica.runtime.executors.thread import ThreadExecutor
from tests.runtime.house_of_attempts import assignment, executor_of, run, until


def ours():
    return [thread for thread in threading.enumerate() if thread.name.startswith("angelica-thread")]


def spin():
    while True:
        time.sleep(0.002)


def test_threads_are_used_again_and_end_with_the_executor():
    async def story():
        def ident():
            return threading.get_ident()

        async with executor_of(ThreadExecutor, 1) as (executor, done):
            for n in range(3):
                executor.submit([assignment(ident, str(n))])
                await done.wait(n + 1)
            assert len({outcome.result for outcome in done.outcomes.values()}) == 1
            assert len(ours()) == 1
        assert ours() == []

    run(story())


def test_no_more_than_the_slots_run_and_the_rest_can_be_taken_back():
    async def story():
        go, begun = threading.Event(), []

        def waits():
            begun.append(CURRENT.get().task_id)
            go.wait()

        async with executor_of(ThreadExecutor, 2) as (executor, done):
            made = [assignment(waits, str(n)) for n in range(5)]
            executor.submit(made)
            await until(lambda: len(begun) == 2)
            assert executor.load() == 5
            waiting = executor.first_waiting()
            assert executor.recall(waiting) is True
            assert executor.recall(waiting) is False
            assert len(executor.withdraw()) == 2
            assert (executor.load(), executor.first_waiting()) == (2, None)
            go.set()
            await done.wait(2)
            await until(lambda: executor.load() == 0)

    run(story())


def test_a_backlog_of_handlers_that_block_gets_all_the_threads():
    async def story():
        barrier = threading.Barrier(12, timeout=5)

        def meets():
            barrier.wait()

        async with executor_of(ThreadExecutor, 12) as (executor, done):
            executor.submit([assignment(meets, str(n)) for n in range(12)])
            await done.wait(12)
            assert set(done.outcomes.values()) == {Succeeded("null")}

    run(story())


def test_an_interrupt_lands_in_the_handler_and_not_in_the_next():
    async def story():
        def fine():
            return sum(range(1_000))

        async with executor_of(ThreadExecutor, 1) as (executor, done):
            for n in range(20):
                first = assignment(spin, f"{n}a")
                executor.submit([first, assignment(fine, f"{n}b")])
                await until(lambda first=first: first.interrupt is not None)
                assert first.stop("cancel", "x") is True
                first.stop("cancel")  # a second time does nothing
                await done.wait(2 * n + 2)
            assert all(done.outcomes[f"{n}a"] == Cancelled(message="x") for n in range(20))
            assert all(done.outcomes[f"{n}b"] == Succeeded("499500") for n in range(20))
            assert len(ours()) == 1

    run(story())


def test_an_interrupt_at_the_very_end_of_a_handler_is_taken_back():
    # The handler's last deed is to interrupt itself: what was thrown has not landed when it returns.
    async def story():
        def last_deed():
            running = CURRENT.get()
            running.stop_reason = "timeout"
            return running.interrupt()

        def fine():
            return 1

        async with executor_of(ThreadExecutor, 1) as (executor, done):
            for n in range(50):
                executor.submit([assignment(last_deed, f"{n}a"), assignment(fine, f"{n}b")])
                await done.wait(2 * n + 2)
            assert all(done.outcomes[f"{n}b"] == Succeeded("1") for n in range(50))
            assert all(isinstance(done.outcomes[f"{n}a"], Succeeded | Failed) for n in range(50))
            assert len(ours()) == 1

    run(story())


def test_a_handler_that_swallows_its_interrupt_gives_its_thread_back():
    async def story():
        def swallows():
            try:
                spin()
            except Interrupted:
                return "swallowed"

        async with executor_of(ThreadExecutor, 1) as (executor, done):
            made = assignment(swallows, "a")
            executor.submit([made])
            await until(lambda: made.interrupt is not None)
            made.stop("timeout")
            await done.wait(1)
            assert done.outcomes["a"] == Succeeded('"swallowed"')

    run(story())


def test_what_was_told_to_stop_before_its_call_is_not_called():
    async def story():
        def never():
            raise AssertionError

        def begin(made):
            made.stop("cancel", "early")

        async with executor_of(ThreadExecutor, 1, begin=begin) as (executor, done):
            executor.submit([assignment(never)])
            await done.wait(1)
            assert done.outcomes == {"t": Cancelled(message="early")}

    run(story())


def test_what_may_not_begin_ends_without_its_handler():
    async def story():
        async with executor_of(ThreadExecutor, 1, begin=lambda made: Released()) as (executor, done):
            executor.submit([assignment(spin)])
            await done.wait(1)
            assert done.outcomes == {"t": Released()}

    run(story())


@pytest.mark.parametrize("error", [SystemExit(), KeyboardInterrupt(), GeneratorExit(), Interrupted()])
def test_no_exception_ends_a_thread(error):
    async def story():
        def raises():
            raise error

        async with executor_of(ThreadExecutor, 1) as (executor, done):
            executor.submit([assignment(raises, str(n)) for n in range(3)])
            await done.wait(3)
            assert all(isinstance(outcome, Failed) for outcome in done.outcomes.values())

    run(story())


def test_close_does_not_wait_for_a_handler_that_will_not_end():
    release = threading.Event()

    async def story():
        begun = threading.Event()

        def blocks():
            begun.set()
            release.wait()

        asked = 0.0
        async with executor_of(ThreadExecutor, 1) as (executor, _):
            executor.submit([assignment(blocks)])
            await until(begun.is_set)
            asked = time.monotonic()
        assert time.monotonic() - asked < 2.0

    run(story())
    release.set()
    for thread in ours():
        thread.join(5)
