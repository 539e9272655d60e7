"""Workers of old and of new code side by side, as in a rolling deploy: a function more, one less, other defaults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import angelica
from angelica.domain import reasons
from angelica.domain.task import State

FAST = {"heartbeat": "100ms", "lease_ttl": "4s", "poll": "50ms"}


class Deploy:
    """Engines of several versions of the code on one store; `ran` says which version ran what."""

    def __init__(self, directory: Path) -> None:
        self.url = directory / "angelica.db"
        self.ran: list[tuple[str, str, int]] = []
        self.stack = AsyncExitStack()

    def engine(self, version: str, **functions: dict[str, Any]) -> angelica.Engine:
        engine = angelica.Engine(self.url, **FAST)
        for name, defaults in functions.items():
            engine.task(name=name, **defaults)(self._function(version, name))
        return engine

    def _function(self, version: str, name: str) -> Callable[[int], Coroutine[Any, Any, str]]:
        async def run(n: int) -> str:
            self.ran.append((version, name, n))
            return version

        return run

    async def start(self, engine: angelica.Engine) -> None:
        await self.stack.enter_async_context(engine)


def play(tmp_path: Path, story: Callable[[Deploy], Awaitable[None]]) -> None:
    async def run() -> None:
        deploy = Deploy(tmp_path)
        async with deploy.stack:
            await asyncio.wait_for(story(deploy), 30)

    asyncio.run(run())


async def submit(engine: angelica.Engine, name: str, count: int) -> list[Any]:
    function: Any = engine.functions.get(name)
    return list(await function.aenqueue_many([(n,) for n in range(count)]))


async def until(true: Callable[[], Awaitable[object]]) -> None:
    while not await true():  # noqa: ASYNC110 - looks at what is stored
        await asyncio.sleep(0.02)


def test_a_function_that_only_new_code_has_runs_there_alone(tmp_path: Path) -> None:
    async def story(deploy: Deploy) -> None:
        old, new = deploy.engine("old", f={}), deploy.engine("new", f={}, g={})
        await deploy.start(old)
        await deploy.start(new)
        tasks = await submit(new, "g", 20)
        assert [await task.aresult(timeout=20) for task in tasks] == ["new"] * 20
        assert sorted(deploy.ran) == [("new", "g", n) for n in range(20)]
        for task in tasks:
            found = await new.service.get(task.id)
            assert (found.failures, found.crashes) == (0, 0)
            assert found.attempt <= 2, (
                "after it has met one worker without its code, it goes only to those that have it"
            )

    play(tmp_path, story)


def test_a_function_that_new_code_lacks_runs_on_the_old_and_waits_when_that_has_gone(tmp_path: Path) -> None:
    async def story(deploy: Deploy) -> None:
        old, new = deploy.engine("old", f={}, g={}), deploy.engine("new", f={})
        await deploy.start(new)
        await old.start()
        for task in await submit(old, "g", 5):
            assert await task.aresult(timeout=20) == "old"
        await old.stop()
        later = angelica.Engine(deploy.url, embed="off")
        later.task(name="g")(deploy._function("none", "g"))
        async with later:
            (task,) = await submit(later, "g", 1)

            async def held() -> bool:
                return (await later.service.get(task.id)).held == reasons.UNKNOWN_FUNCTION

            await until(held)
            why = await later.service.why(task.id)
            assert why is not None
            assert (why.code, why.params["workers"]) == (reasons.UNKNOWN_FUNCTION, 0)
            assert "No live worker has code for the function g" in why.text
            (blocked,) = await later.service.fleet.blocked()
            assert (blocked.reason, blocked.function, blocked.tasks, blocked.able) == (why.code, "g", 1, 0)
            assert "of g are held" in (await later.service.health()).detail["blocked"]
        again = deploy.engine("again", g={})
        await deploy.start(again)
        assert await (await again.ahandle(task.id)).aresult(timeout=10) == "again"
        assert await again.service.fleet.blocked() == ()

    play(tmp_path, story)


def test_a_task_keeps_the_defaults_with_which_it_was_submitted(tmp_path: Path) -> None:
    async def story(deploy: Deploy) -> None:
        old = deploy.engine("old", f={"retries": 0, "queue": "a", "timeout": "5s"})
        async with angelica.Engine(deploy.url, embed="off"):
            await old.start(worker=False)
            (before,) = await submit(old, "f", 1)
            await old.stop()
        new = deploy.engine("new", f={"retries": 7, "queue": "b", "priority": 3, "executor": "async"})
        await deploy.start(new)
        (after,) = await submit(new, "f", 1)
        assert [await (await new.ahandle(each.id)).aresult(timeout=10) for each in (before, after)] == ["new", "new"]
        tasks = [await new.service.get(each.id) for each in (before, after)]
        assert [(task.queue, task.policy.retries, task.spec.priority) for task in tasks] == [("a", 0, 0), ("b", 7, 3)]
        assert [task.state for task in tasks] == [State.SUCCEEDED] * 2

    play(tmp_path, story)


def test_a_function_that_moves_to_another_executor_runs_there(tmp_path: Path) -> None:
    async def story(deploy: Deploy) -> None:
        old = deploy.engine("old", f={})
        await old.start(worker=False)
        tasks = await submit(old, "f", 3)
        await old.stop()
        new = angelica.Engine(deploy.url, **FAST)

        @new.task(name="f")
        def f(n: int) -> str:
            return f"thread {n}"

        await deploy.start(new)
        results = [await (await new.ahandle(task.id)).aresult(timeout=10) for task in tasks]
        assert results == ["thread 0", "thread 1", "thread 2"]

    play(tmp_path, story)
