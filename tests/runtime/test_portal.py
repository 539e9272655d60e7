"""The portal: coroutines called from anywhere but its own loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from angelica.errors import AngelicaError
from angelica.runtime.portal import Portal


@pytest.fixture
def portal():
    portal = Portal()
    yield portal
    portal.close()
    assert [thread.name for thread in threading.enumerate() if thread.name == "angelica-portal"] == []


async def value(of):
    await asyncio.sleep(0)
    return of


async def failing():
    raise LookupError("inside")


def test_results_and_exceptions_come_back(portal):
    assert portal.call(value(1)) == 1
    with pytest.raises(LookupError, match="inside"):
        portal.call(failing())


def test_all_calls_share_one_thread_and_any_thread_may_call(portal):
    async def where():
        return threading.get_ident()

    seen = []
    threads = [threading.Thread(target=lambda: seen.append(portal.call(where()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_a_thread_that_runs_a_loop_may_call(portal):
    async def story():
        return portal.call(value(2))

    assert asyncio.run(story()) == 2


def test_its_own_loop_may_not(portal):
    async def story():
        return portal.call(value(3))

    with pytest.raises(AngelicaError, match="aenqueue"):
        portal.call(story())


def test_a_call_that_takes_too_long_is_cancelled(portal):
    cancelled = threading.Event()

    async def slow():
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        portal.call(slow(), timeout=0.02)
    assert cancelled.wait(5)


def test_closing_cancels_what_is_left_and_a_later_call_begins_anew(portal):
    ended, left = threading.Event(), []

    async def leave_behind():
        async def endless():
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        left.append(asyncio.create_task(endless()))
        await asyncio.sleep(0)

    portal.call(leave_behind())
    portal.close()
    assert ended.is_set()
    portal.close()
    assert portal.call(value(4)) == 4
