"""The watch over a store that is being moved: rest, hand back in time, go on, or end."""

from __future__ import annotations

import asyncio
from typing import Any

from angelica.clock import SECOND
from angelica.domain.fence import Fence
from angelica.runtime.movewatch import MoveWatch, OnMove


class Store:
    """A storage that has a fence and nothing else."""

    def __init__(self) -> None:
        self.stands: Fence | None = None

    async def fence(self) -> Fence | None:
        return self.stands

    def mark(self, topic: Any) -> int:
        return 0

    async def wait(self, topic: Any, since: int, timeout: float) -> int:
        return 0


def test_what_a_worker_is_told() -> None:
    async def story() -> None:
        store, told = Store(), []
        on_move = OnMove(
            lambda: told.append("rest"), lambda: told.append("resume"), lambda: told.append("back"), told.append
        )
        wall = 10 * SECOND
        watch = MoveWatch(store, wall=lambda: wall, grace=60.0, on_move=on_move)
        draining = Fence("draining", "m", "there", "here", until=20 * SECOND, grace=SECOND // 50)
        await watch.step()
        assert told == []
        store.stands = draining
        await watch.step()
        await watch.step()
        assert told == ["rest"]
        await asyncio.sleep(0.05)
        assert told == ["rest", "back"]
        wall = 30 * SECOND  # nobody has renewed it
        await watch.step()
        assert told == ["rest", "back", "resume"]
        store.stands = Fence("moved", "m", "there", "here")
        await watch.step()
        await watch.step()
        await asyncio.sleep(0.01)
        assert told[3:] == ["rest", "there", "back"]
        watch.close()

    asyncio.run(story())
