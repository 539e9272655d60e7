"""A limit is raised from elsewhere: the raise itself wakes the workers, not the nets below it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from angelica import Limit
from angelica.runtime.janitor import Janitor
from tests.engine.house_of_engines import engine_on, run

NETS = 60.0
"""Seconds between the looks of whatever would find the tasks without being woken: longer than the test may take."""


@pytest.fixture(autouse=True)
def _no_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: Janitor) -> float:
        return NETS

    monkeypatch.setattr(Janitor, "relieve", never)


@pytest.mark.parametrize(("kind", "name"), [("queue", "default"), ("function", "work"), ("limit", "work")])
def test_a_raise_of_a_limit_wakes_the_workers_of_others(kind: Any, name: str, shared: str) -> None:
    async def story() -> None:
        working, asking = engine_on(shared, poll=NETS), engine_on(shared, poll=NETS, embed="off")
        begun, go_on = asyncio.Queue[int](), asyncio.Event()

        async def work(n: int) -> None:
            begun.put_nowait(n)
            await go_on.wait()

        functions = [
            engine.task(name="work", limits=[Limit(max_running=100)] if kind == "limit" else None)(work)
            for engine in (working, asking)
        ]
        async with working, asking:
            limits = asking.service.limits
            await limits.change(kind, name, {"max_running": 1})
            handles = await functions[1].aenqueue_many([(n,) for n in range(20)])
            first = await begun.get()
            await limits.change(kind, name, {"max_running": 5})
            woken = {first, *[await begun.get() for _ in range(4)]}
            assert woken == {0, 1, 2, 3, 4}
            assert begun.empty()
            go_on.set()
            for handle in handles[:5]:
                await handle.aresult(timeout=30)

    run(story(), within=NETS / 2)
