"""Under the testing kit nothing is started: functions of the process executor run in the test's own process."""

from __future__ import annotations

import asyncio
import os

from angelica.clock import ManualClock
from angelica.storage.memory import MemoryStorage
from angelica.testing.drain import Drain
from tests.process import app


def test_a_drain_runs_them_here():
    async def story():
        clock = ManualClock()
        with app.engine.substituted(MemoryStorage(clock), clock):
            handle = await app.awaits.aenqueue(3)
            assert await Drain(app.engine)() == {"succeeded": 1}
            try:
                assert (await handle.aresult(5))[0] == os.getpid()
            finally:
                await app.engine.close()

    asyncio.run(story())
