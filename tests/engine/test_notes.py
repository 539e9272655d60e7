"""What a handler shows while it runs: progress, checkpoints and log lines, during the attempt and after it."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from contextlib import asynccontextmanager

import pytest

import angelica
from angelica.domain.task import State
from tests.engine.house_of_engines import end_of, engine_on, run


async def shown(engine, task_id, holds, within=5.0):
    """Wait until a task looks as it should, and return it."""
    ends_at = time.monotonic() + within
    while not holds(task := await engine.service.get(task_id)):
        assert time.monotonic() < ends_at, task
        await asyncio.sleep(0.005)
    return task


@asynccontextmanager
async def freed(go):
    """Let a handler that waits for `go` end whatever happens: a stop waits for it."""
    try:
        yield
    finally:
        go.set()


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_progress_checkpoint_and_logs_are_there_while_the_handler_runs_and_afterwards(kind, url):
    async def story():
        engine = engine_on(url)
        go = threading.Event()

        def speak(context):
            context.progress(0.25, "a quarter")
            context.progress(0.5, "half")
            context.checkpoint({"row": 7})
            context.log.warning("in the middle")
            sys.stdout.write("printed\n")

        if kind == "async":

            @engine.task
            async def works(context: angelica.Context):
                speak(context)
                await asyncio.to_thread(go.wait)
        else:

            @engine.task
            def works(context: angelica.Context):
                speak(context)
                go.wait()

        async with engine, freed(go):
            handle = await works.aenqueue()
            task = await shown(engine, handle.id, lambda task: task.progress and task.checkpoint)
            assert task.state is State.RUNNING
            assert task.progress == '{"fraction":0.5,"text":"half"}'
            assert task.checkpoint == '{"row":7}'
            ends_at = time.monotonic() + 5
            while len(await handle.alogs()) < 2:
                assert time.monotonic() < ends_at
                await asyncio.sleep(0.005)
            assert (await handle.arefresh()).state is State.RUNNING
            go.set()
            task = await end_of(handle)
            assert (task.progress, task.checkpoint) == ('{"fraction":0.5,"text":"half"}', '{"row":7}')
            assert [(line.stream, line.message) for line in await handle.alogs()] == [
                ("log", "in the middle"),
                ("stdout", "printed"),
            ]

    run(story())


def test_the_next_attempt_finds_the_last_checkpoint(url):
    async def story():
        engine = engine_on(url)

        @engine.task(retries=3, backoff=angelica.Fixed(0.0))
        def steps(context: angelica.Context):
            done = context.last_checkpoint or 0
            context.checkpoint(done + 1)
            if done < 3:
                raise ValueError(done)
            return [done, context.attempt, context.failures]

        async with engine:
            assert await (await steps.aenqueue()).aresult(10) == [3, 4, 3]

    run(story())


def test_many_that_end_at_once_keep_their_last_notes(url):
    async def story():
        engine = engine_on(url)

        @engine.task
        async def notes(n: int, context: angelica.Context):
            if n % 3:
                await asyncio.sleep(0.001 * (n % 7))
            context.checkpoint(n)

        async with engine:
            handles = await notes.aenqueue_many([(n,) for n in range(150)])
            for n, handle in enumerate(handles):
                assert (await end_of(handle)).checkpoint == str(n)

    run(story())


def test_each_attempt_has_its_own_lines_and_others_have_none_of_them():
    async def story():
        engine = engine_on()

        @engine.task(retries=1, backoff=angelica.Fixed(0.0))
        async def talks(n: int, context: angelica.Context):
            await asyncio.sleep(0.001)
            logging.getLogger("anybody").error("task %d attempt %d", n, context.attempt)
            if context.attempt == 1:
                raise ValueError

        async with engine:
            handles = await talks.aenqueue_many([(n,) for n in range(10)])
            for n, handle in enumerate(handles):
                await end_of(handle)
                lines = [(line.attempt, line.message) for line in await handle.alogs()]
                assert lines == [(1, f"task {n} attempt 1"), (2, f"task {n} attempt 2")]

    run(story())


def test_notes_out_of_bounds_are_refused_inside_the_handler():
    async def story():
        engine = engine_on(checkpoint_limit="1KiB")
        caught = []

        @engine.task(retries=0)
        async def greedy(context: angelica.Context):
            for call in (
                lambda: context.progress(1.5),
                lambda: context.progress(float("nan")),
                lambda: context.checkpoint("x" * 2_000),
                lambda: context.checkpoint(object()),
            ):
                try:
                    call()
                except angelica.InvalidValue as error:
                    caught.append(error.field)

        async with engine:
            assert (await end_of(await greedy.aenqueue())).state is State.SUCCEEDED
            assert len(caught) == 4
            assert caught[:3] == ["/progress", "/progress", "/checkpoint"]

    run(story())
