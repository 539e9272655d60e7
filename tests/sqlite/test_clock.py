"""One clock for all processes of a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from angelica.clock import HOUR, SECOND, boot_id, wall_micros
from angelica.storage.protocol import Beat
from angelica.storage.rows import from_json, to_json
from angelica.storage.sqlite.adapter import SqliteStorage
from tests.storage.world import worker_info


async def offset(storage: SqliteStorage) -> dict[str, object]:
    return dict(from_json(await storage._read(lambda db: db.value("meta", "clock"))))


async def shift(storage: SqliteStorage, micros: int, boot: str | None = None) -> None:
    """Store an offset as another moment of the host's wall clock would have."""
    known = await offset(storage)
    known["wall_offset"] = int(str(known["wall_offset"])) + micros
    known["boot"] = boot or known["boot"]
    await storage._write(lambda tx: tx.run("put_meta", "clock", to_json(known)))


def test_the_stored_offset_counts_for_every_process(path: Path) -> None:
    async def scene() -> None:
        first = SqliteStorage(path)
        await first.open()
        assert abs((await first.time()).wall - wall_micros()) < SECOND
        await shift(first, -HOUR)
        second = SqliteStorage(path)
        with pytest.warns(RuntimeWarning, match=r"\+3600\.\d+ s away"):
            await second.open()
        assert abs((await second.time()).wall - wall_micros() + HOUR) < SECOND
        status = await second.status()
        assert status.detail["clock_ok"] is False
        assert abs(status.detail["clock_apart_ms"] - 3_600_000) < 1000
        # The first one follows at its next heartbeat.
        now = await first.time()
        await first.heartbeat(Beat(worker_info(boot=now.boot), now.tick + SECOND, now.wall), now=now)
        assert abs((await first.time()).wall - (await second.time()).wall) < SECOND
        await first.close()
        await second.close()

    asyncio.run(scene())


def test_a_new_boot_renews_it(path: Path) -> None:
    async def scene() -> None:
        storage = SqliteStorage(path)
        await storage.open()
        await shift(storage, -HOUR, boot="an earlier boot")
        await storage.close()
        await storage.open()
        assert (await offset(storage))["boot"] == boot_id()
        assert abs((await storage.time()).wall - wall_micros()) < SECOND
        await storage.close()

    asyncio.run(scene())


def test_the_hosts_clock_can_be_accepted_by_hand(path: Path) -> None:
    async def scene() -> None:
        storage = SqliteStorage(path)
        await storage.open()
        await shift(storage, HOUR)
        now = await storage.time()
        await storage.heartbeat(Beat(worker_info(boot=now.boot), now.tick + SECOND, now.wall), now=now)
        assert (await storage.time()).wall > wall_micros() + HOUR - SECOND
        accepted = await storage.accept_clock()
        assert abs(accepted.wall - wall_micros()) < SECOND
        assert (await storage.status()).detail["clock_ok"] is True
        await storage.close()

    asyncio.run(scene())
