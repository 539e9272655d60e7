"""Secrets that a task logs or prints do not reach the store."""

import asyncio

import pytest

from angelica.engine import Engine


def test_stored_lines_hold_no_secret(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DB_PASSWORD", "correct-horse-battery")
    engine = Engine(str(tmp_path / "a.db"))

    @engine.task(name="talks")
    async def talks() -> None:
        engine.log.info("connecting with correct-horse-battery")
        engine.log.info("api_key=abcdef123456 and Authorization: Bearer eyJhbGciOiJIUzI1NiJ9")
        engine.log.info("nothing to hide: token_count=7")

    async def play() -> list[str]:
        async with engine:
            handle = await talks.aenqueue()
            await handle.await_(10)
            return [line.message for line in await handle.alogs()]

    lines = asyncio.run(play())
    assert not any(secret in line for line in lines for secret in ("horse", "abcdef123456", "eyJhbGci"))
    assert lines[2] == "nothing to hide: token_count=7"
