"""A storage that fails, or fails after it has done the work, or is slow, at chosen calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeVar

from angelica.errors import StorageUnavailable
from angelica.storage.protocol import Storage
from angelica.storage.wrap import READS, WRITES, Wrapping

T = TypeVar("T")
Fault = Literal["before", "after", "slow"]


class FaultyStorage(Wrapping):
    """Counts the reads and writes from 1 (`calls`) and does at each one what `faults` says of its number.

    `before`: it fails and nothing was done. `after`: it was done and its reply is lost. `slow`: others go first.
    """

    def __init__(self, inner: Storage, faults: Mapping[int, Fault] | None = None) -> None:
        super().__init__(inner)
        self.faults = dict(faults or {})
        self.calls = 0

    async def _call(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        if verb not in READS and verb not in WRITES:
            return await call()
        self.calls += 1
        fault = self.faults.get(self.calls)
        if fault == "before":
            raise StorageUnavailable(f"{verb} failed, nothing was done")
        if fault == "slow":
            for _ in range(10):
                await asyncio.sleep(0)
        reply = await call()
        if fault == "after":
            raise StorageUnavailable(f"the reply of {verb} was lost")
        return reply
