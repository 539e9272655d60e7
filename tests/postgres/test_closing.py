"""Closing while something is still on its way."""

from __future__ import annotations

import asyncio

import pytest

from angelica.storage.postgres import ring
from angelica.storage.postgres.adapter import PostgresStorage


def test_a_cancel_that_comes_with_the_connection_ends_the_listener(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Python 3.12, `asyncio.wait_for` swallows a cancel that comes together with its result."""
    begun = asyncio.Event()
    connect = ring.connect

    async def swallow(*args: object, **options: object) -> object:
        connection = await connect(*args, **options)
        begun.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return connection
        raise AssertionError("nobody cancelled it")

    monkeypatch.setattr(ring, "connect", swallow)

    async def scene() -> None:
        storage = PostgresStorage(postgres_url)
        await storage.open()
        await begun.wait()
        closing = asyncio.ensure_future(storage.close())
        done, _ = await asyncio.wait({closing}, timeout=5)  # not `wait_for`: its own cancel would help
        closing.cancel()
        assert done

    asyncio.run(scene())
