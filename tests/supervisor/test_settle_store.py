"""Settling a dead worker over a store: what had begun is a crash, the rest goes back at no cost."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from angelica.clock import SECOND, ManualClock
from angelica.domain.task import NewTask, State
from angelica.runtime.settle import Death, settle_worker
from angelica.runtime.startfile import StartFile
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Beat, Claim, WorkerInfo


def test_begun_crashes_the_rest_is_released_and_others_are_left_alone(tmp_path: Path) -> None:
    async def script() -> None:
        clock = ManualClock()
        storage = MemoryStorage(clock)
        await storage.open()
        now = clock.now()
        for worker in ("dead", "alive"):
            info = WorkerInfo(worker, "h", now.boot, 1, 1, "0", now.wall, 10)
            await storage.heartbeat(Beat(info, now.tick + 15 * SECOND, now.wall), now=now)
        tasks = [NewTask(f"t{n}", "f", "{}", now.wall, now.wall) for n in range(4)]
        await storage.enqueue_many(tasks, now=now)
        mine = (await storage.exchange([], Claim("dead", 3, (("async", 3),)), now=now)).claimed
        await storage.exchange([], Claim("alive", 1, (("async", 1),)), now=now)
        file = StartFile(tmp_path / "dead.started")
        file.begin(file.hold([task.lease for task in mine])[0])

        done = await settle_worker(
            storage,
            "dead",
            death=Death(1, signal=signal.SIGKILL),
            start_file=str(file.path),
            now=clock.advance(SECOND),
            chance=lambda: 0.0,
        )

        assert (done.crashed, done.released) == (1, 2)
        found = await storage.get_tasks([f"t{n}" for n in range(4)])
        assert [task.state for task in found if task] == [State.QUEUED] * 3 + [State.RUNNING]
        assert [task.crashes for task in found if task] == [1, 0, 0, 0]
        assert [row.info.id for row in await storage.list_workers()] == ["alive"]
        assert not file.path.exists()
        again = await settle_worker(
            storage,
            "dead",
            death=Death(1),
            start_file=str(file.path),
            now=clock.now(),
            chance=lambda: 0.0,
        )
        assert again.ends == ()
        await storage.close()

    asyncio.run(script())
