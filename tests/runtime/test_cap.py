"""The cap of a worker process holds over all executors together."""

import asyncio
import threading
import time

from angelica.engine import Engine


def test_coroutines_and_threads_together_stay_within_the_slots(tmp_path) -> None:
    engine = Engine(str(tmp_path / "a.db"), slots=2)
    lock = threading.Lock()
    inside: set[str] = set()
    most = 0

    def enter(name: str) -> None:
        nonlocal most
        with lock:
            inside.add(name)
            most = max(most, len(inside))

    @engine.task(name="coroutine")
    async def coroutine(number: int) -> None:
        enter(f"c{number}")
        await asyncio.sleep(0.002)
        inside.discard(f"c{number}")

    @engine.task(name="thread")
    def thread(number: int) -> None:
        enter(f"t{number}")
        time.sleep(0.002)
        inside.discard(f"t{number}")

    async def play() -> None:
        async with engine:
            handles = [*await coroutine.aenqueue_many([(n,) for n in range(40)])]
            handles += await thread.aenqueue_many([(n,) for n in range(40)])
            for handle in handles:
                await handle.aresult(30)

    asyncio.run(play())
    assert most == 2
