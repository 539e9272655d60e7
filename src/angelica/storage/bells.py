"""Wake-ups inside a process: counted rings by topic, and futures of any loop that wait for the next one."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Future
from threading import Lock

from angelica.storage.protocol import Topic

_Waiters = dict[AbstractEventLoop, set["Future[None]"]]


class Bells:
    """Any thread may ring. Rings nobody waits for cost an addition; waiters of one loop are woken by one call."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rings = dict.fromkeys(Topic, 0)
        self._waiters: dict[Topic, _Waiters] = {topic: {} for topic in Topic}

    def mark(self, topic: Topic) -> int:
        return self._rings[topic]

    def ring(self, topic: Topic) -> None:
        """Count one ring and wake all who wait for it."""
        with self._lock:
            self._rings[topic] += 1
            waiters = self._waiters[topic]
            if not waiters:
                return
            self._waiters[topic] = {}
        here = asyncio._get_running_loop()  # noqa: SLF001 - public by name only in the raising form, which is slow here
        for loop, futures in waiters.items():
            if loop is here:
                _wake(futures)
                continue
            try:
                loop.call_soon_threadsafe(_wake, futures)
            except RuntimeError:  # the loop was closed with its waiters: nobody is left to wake
                continue

    async def wait(self, topic: Topic, since: int, timeout: float) -> int:
        loop = asyncio.get_running_loop()
        future: Future[None] = loop.create_future()
        with self._lock:
            if self._rings[topic] > since:
                return self._rings[topic]
            self._waiters[topic].setdefault(loop, set()).add(future)
        alarm = loop.call_later(timeout, _wake, {future})
        try:
            await future
        finally:
            alarm.cancel()
            with self._lock:
                waiters = self._waiters[topic]
                futures = waiters.get(loop, set())
                futures.discard(future)
                if not futures:
                    waiters.pop(loop, None)
        return self._rings[topic]


def _wake(futures: set[Future[None]]) -> None:
    """End the wait of these futures; runs on their own loop."""
    for future in list(futures):
        if not future.done():
            future.set_result(None)
