"""The blocking calls: from plain code, from threads, from inside a running loop, and where they must not be made."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import angelica
from angelica.domain.task import State
from tests.engine.house_of_engines import engine_on, run

ROOT = Path(__file__).parent.parent.parent


def plain(engine):
    @engine.task
    def add(a: int, b: int = 1):
        return a + b

    @engine.task(durable=False)
    async def fleeting(n: int):
        return n

    return add, fleeting


def test_plain_code_needs_no_loop(url):
    engine = engine_on(url)
    add, fleeting = plain(engine)
    with engine:
        handle = add.enqueue(1)
        assert handle.result(10) == 2
        assert handle.refresh().status == "SUCCEEDED"
        assert handle.wait(1).state is State.SUCCEEDED
        assert handle.logs() == ()
        assert handle.cancel() == "finished"
        assert handle.retry().result(10) == 2
        assert [each.result(10) for each in add.enqueue_many([(1, 2), {"a": 3}])] == [3, 4]
        assert engine.handle(handle.id).result(1) == 2
        assert fleeting.enqueue(5).result(10) == 5
        with pytest.raises(angelica.NotFound):
            engine.handle("nobody")
        with pytest.raises(angelica.WaitTimeout):
            add.using(delay=60).enqueue(1).result(0.02)


def test_many_threads_may_call_at_once(url):
    engine = engine_on(url)
    add, _ = plain(engine)
    results = []

    def work(n):
        results.append(add.enqueue(n, n).result(20))

    with engine:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(results) == [2 * n for n in range(16)]


def test_a_handler_in_a_thread_may_enqueue_and_wait(url):
    engine = engine_on(url)
    add, _ = plain(engine)

    @engine.task
    def outer():
        return add.enqueue(20, 1).result(10) * 2

    with engine:
        assert outer.enqueue().result(15) == 42


def test_a_running_loop_may_block_itself_for_a_moment(url):
    async def story():
        engine = engine_on(url)
        add, fleeting = plain(engine)
        async with engine:
            assert await add.enqueue(1).aresult(10) == 2
            assert await fleeting.enqueue(1).aresult(10) == 1
            assert await asyncio.to_thread(lambda: add.enqueue(2).result(10)) == 3
        engine.shutdown()

    run(story())


def test_a_blocking_call_on_the_loop_that_must_serve_it_is_refused_and_does_not_hang():
    engine = engine_on()
    add, _ = plain(engine)

    @engine.task(retries=0)
    async def outer():
        try:
            add.enqueue(1)
        except angelica.AngelicaError as error:
            return str(error)

    with engine:
        assert "aenqueue" in outer.enqueue().result(10)


def test_submitting_without_a_worker_and_shutting_down(shared):
    engine = engine_on(shared)
    add, _ = plain(engine)
    handle = add.enqueue(1)
    assert handle.state is State.QUEUED
    engine.shutdown()
    engine.shutdown()
    with engine:
        assert engine.handle(handle.id).result(10) == 2


def test_the_memory_lane_of_blocking_code_ends_with_the_shutdown(shared):
    engine = engine_on(shared)
    _, fleeting = plain(engine)
    for _ in range(3):
        assert fleeting.enqueue(1).result(10) == 1
        engine.shutdown()
        assert [t.name for t in threading.enumerate() if t.name.startswith("angelica")] == []


def test_the_lane_may_have_begun_in_blocking_code_before_the_engine_starts_in_a_loop(shared):
    engine = engine_on(shared)
    add, fleeting = plain(engine)
    assert fleeting.enqueue(1).result(10) == 1

    async def story():
        async with engine:
            assert await (await fleeting.aenqueue(2)).aresult(10) == 2
            assert await (await add.aenqueue(2)).aresult(10) == 3

    run(story())
    engine.shutdown()
    assert [t.name for t in threading.enumerate() if t.name.startswith("angelica")] == []


def test_an_exception_in_the_block_still_stops_the_engine(url):
    engine = engine_on(url)
    plain(engine)
    with pytest.raises(LookupError), engine:
        raise LookupError
    assert engine.state == "TERMINATED"


FORKS = """
import os, sys
from angelica import AngelicaError, Engine
engine = Engine({url!r})

@engine.task
def f(): ...

f.enqueue()
child = os.fork()
if child == 0:
    try:
        f.enqueue()
    except AngelicaError as error:
        os._exit(42 if "fork" in str(error) else 2)
    os._exit(1)
_, status = os.waitpid(child, 0)
engine.shutdown()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_an_engine_that_was_open_before_a_fork_says_so_in_the_child(shared):
    done = subprocess.run(
        [sys.executable, "-c", FORKS.format(url=str(shared))],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 42, done.stderr


def test_two_engines_on_one_file_in_one_process(shared):
    one, two = engine_on(shared), engine_on(shared)
    ran = []
    for name, engine in (("one", one), ("two", two)):

        @engine.task(name="f")
        def f(n: int, name=name):
            ran.append((name, n))

    with one, two:
        handles = [engine.functions.get("f").enqueue(n) for n in range(20) for engine in (one, two)]
        for handle in handles:
            assert one.handle(handle.id).wait(10).task.attempt == 1
    assert sorted(n for _, n in ran) == sorted([*range(20), *range(20)])


def test_the_same_engine_may_not_be_told_of_what_it_has_not_opened():
    engine = engine_on()
    for what in ("service", "storage"):
        with pytest.raises(angelica.AngelicaError, match="not open"):
            getattr(engine, what)
