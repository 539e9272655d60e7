"""The pytest plugin, used as a user's test suite uses it: in a pytest of its own, on each store."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.postgres import binaries
from tests.postgres.session import session
from tests.testing_kit.loading import ALONE, BY_NAME

ROOT = Path(__file__).parent.parent.parent

APP = """
from dataclasses import dataclass

from angelica import Context, Engine, Fixed, Retry

engine = Engine("never-opened.db")
sent = []


@dataclass
class Letter:
    to: str
    subject: str = "hello"


@engine.task
def send(letter: Letter, copies: int = 1):
    sent.append(letter.to)
    return copies


@engine.task(retries=2, backoff=Fixed(60))
async def flaky(context: Context):
    if context.attempt < 3:
        raise Retry("not yet")
    return context.attempt


@engine.task(durable=False)
async def fleeting(n: int):
    sent.append(n)
    return n


@engine.task
async def parent():
    await send.aenqueue(Letter("child"))


@engine.task(timeout=0.05, retries=0)
async def slow():
    import asyncio

    await asyncio.sleep(30)
"""


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def suite(request, tmp_path):
    """Runs a test file against the app above and returns what pytest said."""
    (tmp_path / "shop.py").write_text(APP, "utf-8")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nangelica_app = shop:engine\npythonpath = .\nfilterwarnings = error\n", "utf-8"
    )

    def run(tests, *arguments, app=True, server=None):
        if not app:
            (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", "utf-8")
        (tmp_path / "test_shop.py").write_text(textwrap.dedent(tests), "utf-8")
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1", **ALONE}
        environment.pop("PYTEST_ADDOPTS", None)
        if request.param == "postgres":
            environment["ANGELICA_TEST_POSTGRES"] = server or session().server().url()
        command = [sys.executable, "-m", "pytest", "-q", *BY_NAME, "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, f"--angelica-store={request.param}", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not (tmp_path / "never-opened.db").exists()
        return done

    return run


def passed(done, count):
    assert f"{count} passed" in done.stdout, done.stdout + done.stderr


def test_the_fixtures_do_what_they_promise(suite):
    tests = """
        import asyncio

        import pytest
        import shop
        from angelica import TaskFailed
        from angelica.testing.kit import enqueued
        from shop import Letter


        @pytest.fixture(autouse=True)
        def empty():
            shop.sent.clear()


        def test_inline_runs_at_enqueue(angelica_inline):
            handle = shop.send.enqueue(Letter("a"))
            assert shop.sent == ["a"]
            assert handle.result(1) == 1


        def test_inline_runs_children_too(angelica_inline):
            shop.parent.enqueue()
            assert shop.sent == ["child"]


        def test_inline_from_a_running_loop(angelica_inline):
            async def story():
                handle = await shop.send.aenqueue(Letter("b"))
                return await handle.aresult(1)

            assert asyncio.run(story()) == 1


        def test_nothing_runs_before_it_is_drained(angelica_engine, angelica_worker):
            handle = shop.send.enqueue(Letter("a"), copies=2)
            assert shop.sent == []
            assert angelica_worker.drain() == {"succeeded": 1}
            assert handle.result(0.1) == 2
            assert angelica_worker.drain() == {}


        def test_the_order_is_the_order_of_claim(angelica_engine, angelica_worker):
            shop.send.enqueue_many([(Letter(str(n)),) for n in range(30)])
            shop.send.using(priority=5).enqueue(Letter("first"))
            angelica_worker.drain()
            assert shop.sent == ["first", *map(str, range(30))]


        def test_the_clock_is_moved_by_hand(angelica_engine, angelica_worker, angelica_clock):
            shop.send.using(delay="1d").enqueue(Letter("later"))
            assert angelica_worker.drain() == {}
            angelica_clock.shift("23h")
            assert angelica_worker.drain() == {}
            angelica_clock.shift("1h")
            assert angelica_worker.drain() == {"succeeded": 1}


        def test_retries_wait_for_the_clock(angelica_engine, angelica_worker, angelica_clock):
            handle = shop.flaky.enqueue()
            assert angelica_worker.drain() == {"failed": 1}
            assert angelica_worker.drain() == {}
            angelica_clock.shift(60)
            assert angelica_worker.drain() == {"failed": 1}
            angelica_clock.shift(60)
            assert angelica_worker.drain() == {"succeeded": 1}
            assert handle.result(0.1) == 3


        def test_drain_with_scheduled_moves_the_clock_itself(angelica_engine, angelica_worker, angelica_clock):
            before = angelica_clock.micros
            handle = shop.flaky.enqueue()
            assert angelica_worker.drain(with_scheduled=True) == {"failed": 2, "succeeded": 1}
            assert angelica_clock.micros - before == 120_000_000
            assert handle.refresh().task.failures == 2


        def test_what_was_enqueued(angelica_engine, assert_enqueued):
            shop.send.enqueue(Letter("a"))
            shop.send.enqueue(Letter("b"), copies=3)
            assert len(assert_enqueued(shop.send)) == 2
            assert_enqueued(shop.send, Letter("a"))
            assert_enqueued(shop.send, Letter("b"), copies=3, count=1)
            assert_enqueued(shop.flaky, count=0)
            with pytest.raises(AssertionError, match="was not enqueued") as caught:
                assert_enqueued(shop.send, Letter("c"))
            assert '"to":"b"' in str(caught.value).replace(" ", "")
            assert [task.function for task in enqueued(angelica_engine)] == ["shop.send", "shop.send"]


        def test_tasks_that_are_not_durable_wait_for_the_drain_too(angelica_engine, angelica_worker, assert_enqueued):
            handle = shop.fleeting.enqueue(7)
            assert_enqueued(shop.fleeting, 7, count=1)
            assert shop.sent == []
            assert angelica_worker.drain() == {"succeeded": 1}
            assert shop.sent == [7]
            assert handle.result(0.1) == 7


        def test_time_outs_are_kept(angelica_engine, angelica_worker):
            handle = shop.slow.enqueue()
            assert angelica_worker.drain() == {"timeout": 1}
            with pytest.raises(TaskFailed, match="did not end within"):
                handle.result(0.1)


        def test_each_test_has_a_store_of_its_own(angelica_engine, assert_enqueued):
            assert_enqueued(shop.send, count=0)


        def test_a_test_that_leaves_tasks_behind(angelica_engine):
            shop.send.enqueue(Letter("left"))


        def test_a_cancelled_task_is_not_run(angelica_engine, angelica_worker):
            handle = shop.send.enqueue(Letter("x"))
            handle.cancel()
            assert angelica_worker.drain() == {}
            assert shop.sent == []
    """
    passed(suite(tests), 14)


def test_without_an_app_the_fixtures_bring_an_engine_of_their_own(suite):
    tests = """
        def test_own(angelica_engine, angelica_worker):
            @angelica_engine.task
            def double(n: int):
                return 2 * n

            handle = double.enqueue(4)
            angelica_worker.drain()
            assert handle.result(1) == 8
    """
    passed(suite(tests, app=False), 1)


def test_an_app_that_is_none_is_said_so(suite):
    done = suite("def test_x(angelica_engine): ...", "-o", "angelica_app=shop:sent")
    assert done.returncode != 0
    assert "does not name an Engine" in done.stdout


def test_a_web_app_is_tested_with_its_tasks_run_inline(suite):
    pytest.importorskip("fastapi")
    tests = """
        import shop
        from fastapi import FastAPI
        from starlette.testclient import TestClient

        app = FastAPI(lifespan=shop.engine.lifespan)
        shop.engine.mount(app, "/angelica")


        @app.post("/letters")
        async def letters(to: str):
            handle = await shop.send.aenqueue(shop.Letter(to))
            return {"id": handle.id}


        def test_endpoint(angelica_inline):
            shop.sent.clear()
            with TestClient(app, client=("127.0.0.1", 5000), base_url="http://localhost") as client:
                answer = client.post("/letters?to=a")
                assert answer.status_code == 200
                assert shop.sent == ["a"]
                assert client.get(f"/angelica/tasks/{answer.json()['id']}").json()["status"] == "SUCCEEDED"


        def test_drained(angelica_engine, angelica_worker, assert_enqueued):
            shop.sent.clear()
            with TestClient(app) as client:
                client.post("/letters?to=b")
                assert shop.sent == []
                assert angelica_worker.drain() == {"succeeded": 1}
                assert shop.sent == ["b"]
            assert_enqueued(shop.send, shop.Letter("b"))
    """
    passed(suite(tests, "-W", "ignore"), 2)


def test_whatever_a_handler_raises_is_an_end_and_not_the_tests_end(suite):
    tests = """
        import asyncio

        import pytest


        @pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
        def test_it(angelica_engine, angelica_worker, error):
            @angelica_engine.task(name="a", retries=0)
            async def a():
                raise error

            @angelica_engine.task(name="b", retries=0)
            def b():
                raise error

            a.enqueue()
            b.enqueue()
            assert angelica_worker.drain() == {"failed": 2}
    """
    passed(suite(tests, app=False), 3)


@pytest.mark.parametrize("suite", ["postgres"], indirect=True)
def test_nothing_is_left_on_a_server_that_was_given(suite, postgres_cluster):
    tests = """
        import shop

        def test_it(angelica_engine, angelica_worker):
            shop.fleeting.enqueue(1)
            shop.send.enqueue(shop.Letter("a"))
            angelica_worker.drain()
    """
    passed(suite(tests), 1)
    named = "select count(*) from pg_namespace where nspname like 'angelica_test_%'"
    assert postgres_cluster.run(named) == [(0,)]


@pytest.mark.parametrize("suite", ["postgres"], indirect=True)
def test_a_server_of_the_runs_own_ends_with_it(suite, tmp_path):
    tests = """
        from pathlib import Path

        import shop
        from angelica.testing.postgres import server_url


        def test_it(angelica_engine, angelica_worker):
            Path("address").write_text(server_url())
            shop.send.enqueue(shop.Letter("a"))
            assert angelica_worker.drain() == {"succeeded": 1}
    """
    if binaries.given_url() is not None:
        pytest.skip("a server was given, so there may be no programs of one")
    programs = binaries.reachable(binaries.find(), session().place("kit").parent)
    passed(suite(tests, server=str(programs)), 1)
    directory = Path(unquote((tmp_path / "address").read_text("utf-8").partition("host=")[2]))
    ends_at = time.monotonic() + 20
    while directory.exists():
        assert time.monotonic() < ends_at, "the server outlives the run"
        time.sleep(0.05)


@pytest.mark.parametrize("suite", ["postgres"], indirect=True)
def test_where_there_is_no_postgresql_it_is_said_how_to_get_one(suite):
    done = suite("def test_it(angelica_engine): ...", server="/nowhere")
    assert done.returncode != 0
    assert "there is no PostgreSQL in /nowhere: install PostgreSQL" in done.stdout
