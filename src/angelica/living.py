"""Living: an engine for as long as a block of code lasts, or a process."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

from angelica import process
from angelica.runtime.portal import Portal


class Living(ABC):
    """The part of an `Engine` that starts and stops it around something else.

    `dismissed` is called when an operator asks for the stop of its worker; None lets the worker alone end.
    """

    _portal: Portal
    dismissed: Callable[[], object] | None = None

    def __enter__(self) -> Self:
        """Run a worker in the background of synchronous code until the block ends."""
        try:
            self._portal.call(self.start())
        except BaseException:
            self._portal.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._portal.call(self.stop())
        self._portal.close()

    async def __aenter__(self) -> Self:
        """Run a worker in this event loop until the block ends."""
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def run(self) -> None:
        """Run a worker in this process until SIGINT or SIGTERM; a second signal hastens the end."""
        asyncio.run(process.run_until_signal(self))

    async def run_worker(
        self,
        stop: asyncio.Event,
        hasten: asyncio.Event,
        ready: Callable[[], None],
        leaving: Callable[[], None] = lambda: None,
    ) -> None:
        """Run one worker process until `stop` is set, then leave within the grace time; `hasten` cuts it short.

        `leaving` is called when it is an operator who wants the stop.
        """
        await process.run_worker(self, stop, hasten, ready, leaving)

    @abstractmethod
    async def start(self, worker: bool | None = None) -> None:  # noqa: FBT001 - start(worker=False) reads well
        """Open the store and begin."""

    @abstractmethod
    async def stop(self, *, hasten: asyncio.Event | None = None) -> None:
        """Give running tasks the grace time and close the store."""
