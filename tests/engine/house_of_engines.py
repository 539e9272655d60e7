"""What the tests of the engine share: quick settings, one loop with a bound, and waiting for what must come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from angelica.engine import Engine

QUICK = {"poll": 0.1, "grace": 2, "heartbeat": 0.5}


def engine_on(url="memory:", **settings):
    return Engine(url, **{**QUICK, **settings})


def run(coroutine, within=30.0):
    """Run a coroutine to its end; one that hangs fails instead of holding up all others."""

    async def bounded():
        async with asyncio.timeout(within):
            return await coroutine

    return asyncio.run(bounded())


async def until(holds: Callable[[], object], within=5.0):
    """Wait until `holds()` is true."""
    ends_at = time.monotonic() + within
    while not holds():
        assert time.monotonic() < ends_at, "it did not come true in time"
        await asyncio.sleep(0.003)


async def stands(handle, state, within=5.0):
    """Wait until a task stands in a state, and return it."""
    ends_at = time.monotonic() + within
    while (await handle.arefresh()).state is not state:
        assert time.monotonic() < ends_at, f"it is {handle.state}, not {state}"
        await asyncio.sleep(0.003)
    return handle.task


async def end_of(handle, within=10.0):
    """Wait for the end of a task and return it as it stands."""
    return (await handle.await_(within)).task


def declare(engine, kind, body, **given):
    """Declare `body` (a plain function) to be run by the executor of a kind."""
    if kind == "async":

        async def handler():
            return body()

    else:

        def handler():
            return body()

    return engine.task(name="f", **given)(handler)
