"""Stores and sides of moves for the tests: a store is an adapter's name and where it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from angelica.clock import Clock
from angelica.storage.move.mover import Moved, Mover
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.postgres.moving import PostgresSide
from angelica.storage.protocol import Storage
from angelica.storage.sqlite.adapter import SqliteStorage
from angelica.storage.sqlite.moving import SqliteSide
from angelica.storage.sqlite.storeclock import StoreClock
from tests.move.dump import dump
from tests.postgres.session import session

KINDS = ["sqlite", "postgres"]
WAYS = [("sqlite", "postgres"), ("postgres", "sqlite"), ("sqlite", "sqlite"), ("postgres", "postgres")]


def story(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test that is a coroutine."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


@dataclass
class Place:
    """Where a store is, and the clock that it is opened with (None: its own)."""

    url: str
    clock: Clock | None = None

    @property
    def path(self) -> Path | None:
        return Path(self.url.removeprefix("sqlite:///")) if self.url.startswith("sqlite") else None

    def storage(self, **how: Any) -> Storage:
        if self.path is not None:
            return SqliteStorage(self.path, self.clock, **how)
        return PostgresStorage(self.url, self.clock, **how)

    def side(self) -> Any:
        if self.path is not None:
            return SqliteSide(self.path, None if self.clock is None else StoreClock(self.clock))
        return PostgresSide(self.url)


def place(kind: str, directory: Path, clock: Clock | None = None, name: str = "angelica.db") -> Place:
    return Place(f"sqlite:///{directory / name}" if kind == "sqlite" else session().fresh_url(), clock)


@asynccontextmanager
async def opened(it: Any) -> AsyncIterator[Any]:
    await it.open()
    try:
        yield it
    finally:
        await it.close()


async def move(
    source: Place, target: Place, *, fresh: str = "m1", grace: float = 0.0, reached: Callable[[str], None] | None = None
) -> Moved:
    async with opened(source.side()) as leaving, opened(target.side()) as filled:
        mover = Mover(leaving, filled, fresh=fresh, grace=grace, reached=reached or (lambda _: None))
        return await mover.run()


async def dumped(it: Place) -> dict[str, Any]:
    async with opened(it.side()) as side:
        return await dump(side)
