"""`angelica functions show`: what it says before there are runs to suggest limits from, and after."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from angelica.clock import SECOND
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Succeeded
from angelica.domain.usage import Usage
from angelica.storage.protocol import Claim, FunctionRow
from angelica.storage.sqlite.adapter import SqliteStorage

NAME = "angelica.hello"


async def known(path: Path) -> None:
    """Register the function, as a worker does."""
    storage = SqliteStorage(path)
    await storage.open()
    row = FunctionRow(NAME, 1, "async", "{}", "{}", "Say hello.", (await storage.time()).wall)
    await storage.put_functions([row])
    await storage.close()


async def ran(path: Path, times: int) -> None:
    """Have tasks of the function end, each after a second and a half, with half a second of CPU and 100 MiB."""
    storage = SqliteStorage(path)
    await storage.open()
    now = await storage.time()
    claimed = (await storage.exchange((), Claim("w", times, (("async", times),)), now=now)).claimed
    assert len(claimed) == times
    took = Usage(0.5, 100 << 20, "vmhwm")
    ends = [
        complete(task, Succeeded("1", usage=took), now=now, chance=0.0, started_at=now.wall - 3 * SECOND // 2)
        for task in claimed
    ]
    await storage.exchange(ends, None, now=now)
    await storage.close()


def test_limits_are_suggested_from_ten_runs_on(run, tmp_path: Path) -> None:
    for _ in range(10):
        assert run("enqueue", NAME).code == 0
    asyncio.run(known(tmp_path / "angelica.db"))
    shown = run("functions", "show", NAME)
    assert "suggestion" in shown.out
    assert "Not enough runs yet: none of the 10 that a suggestion rests on." in shown.out
    assert "seen_run_time" not in shown.out

    asyncio.run(ran(tmp_path / "angelica.db", 10))
    shown = run("functions", "show", NAME)
    assert 'timeout="3s", resources={"cpu": 0.4, "memory": "128MiB"} (from the latest 10 runs).' in shown.out
    assert "at most 1.5 s, 19 of 20 within 1.5 s" in shown.out
    assert "at most 100.0 MiB" in shown.out
    made = json.loads(run("functions", "show", NAME, "-o", "json").out)["suggestion"]
    assert (made["timeout"], made["resources"]) == (3.0, {"cpu": 0.4, "memory": 128 << 20})
    assert run("functions", "show", NAME, "-o", "ids").out == f"{NAME}\n"


def test_a_command_that_nobody_has_is_not_found(run) -> None:
    assert run("enqueue", NAME).code == 0
    missing = run("functions", "show", "command:train")
    assert missing.code != 0
    assert "no function is called 'command:train'" in missing.err
