"""The heartbeat: a thread of its own that beats on, whatever the loop and the store do."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from angelica.errors import StorageUnavailable
from angelica.runtime.heartbeat import Heartbeat


def wait_for(holds, within=5.0):
    ends_at = time.monotonic() + within
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.002)


def beating(beat, interval):
    heart = Heartbeat(beat, interval=interval, chance=lambda: 0.5)
    heart.start()
    return heart


def end(heart):
    heart.stop()
    heart.join(5)
    assert not heart.is_alive()


def test_it_beats_at_its_interval_and_at_once_when_nudged():
    beats = []

    async def beat():
        beats.append(threading.current_thread().name)

    heart = beating(beat, 0.01)
    wait_for(lambda: len(beats) >= 3)
    end(heart)
    assert set(beats) == {"angelica-heartbeat"}
    beats.clear()
    heart = beating(beat, 3_600)
    wait_for(lambda: heart._loop is not None)
    heart.nudge()
    wait_for(lambda: beats)
    end(heart)


@pytest.mark.parametrize("error", [StorageUnavailable("down"), LookupError("a bug"), LookupError()])
def test_a_beat_that_fails_is_tried_again_soon_and_shown(error):
    beats = []

    async def beat():
        beats.append(1)
        if len(beats) == 1:
            raise error

    heart = beating(beat, 60)
    wait_for(lambda: heart._loop is not None)
    heart.nudge()
    wait_for(lambda: heart.problem)
    wait_for(lambda: heart.problem is None)
    assert len(beats) == 2
    end(heart)


def test_after_a_long_outage_the_lease_is_renewed_within_a_second(monkeypatch):
    pauses = []

    async def wait_for_(waiting, timeout):
        waiting.close()
        pauses.append(timeout)
        raise TimeoutError

    monkeypatch.setattr(asyncio, "wait_for", wait_for_)
    heart = Heartbeat(lambda: None, interval=5, chance=lambda: 0.5)

    async def story():
        heart._nudged = asyncio.Event()
        for failures in range(9):
            await heart._rest(failures)

    asyncio.run(story())
    assert pauses == [5, 0.4, 0.8, *[1.0] * 6]


def test_a_beat_that_hangs_is_given_up():
    beats = []

    async def beat():
        beats.append(1)
        if len(beats) == 1:
            await asyncio.sleep(60)

    heart = beating(beat, 0.02)
    wait_for(lambda: len(beats) >= 2)
    end(heart)


def test_stop_ends_it_at_any_moment():
    async def beat(): ...

    Heartbeat(beat, interval=1, chance=lambda: 0.0).stop()  # never started
    for _ in range(20):
        end(beating(beat, 3_600))
    heart = beating(beat, 3_600)
    end(heart)
    heart.nudge()  # after its end: nothing happens
