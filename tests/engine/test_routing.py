"""Tasks that require labels: from every surface to a worker that has them, and what is said while there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import angelica
from angelica.domain import reasons
from angelica.domain.task import State
from angelica.storage.protocol import TaskFilter

FAST = {"heartbeat": "100ms", "lease_ttl": "4s", "poll": "50ms"}


def made(path: Path, **settings: Any) -> angelica.Engine:
    engine = angelica.Engine(path, **{**FAST, **settings})

    async def run() -> str:
        return engine.settings.name

    engine.task(name="anywhere")(run)
    engine.task(name="gpu", requires={"gpu": "true"})(run)
    return engine


def function(engine: angelica.Engine, name: str) -> Any:
    return engine.functions.get(name)


async def until(true: Callable[[], Awaitable[object]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 - looks at what is stored
            await asyncio.sleep(0.02)


def test_a_task_goes_where_its_labels_are(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "angelica.db"
        plain = made(path, name="plain")
        strong = made(path, name="strong", labels={"gpu": "true", "zone": "a"})
        async with plain, strong:
            tasks = [await function(plain, "gpu").aenqueue() for _ in range(10)]
            zone = function(plain, "anywhere").using(requires={"zone": "a"})
            tasks += [await zone.aenqueue() for _ in range(10)]
            assert [await task.aresult(timeout=10) for task in tasks] == ["strong"] * 20
            free = function(plain, "gpu").using(requires={})
            assert await (await free.aenqueue()).aresult(timeout=10) in ("plain", "strong")

    asyncio.run(story())


def test_why_names_what_is_missing_and_who_comes_closest(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "angelica.db"
        near = made(path, name="near", labels="gpu=true,zone=b")
        async with near:
            wanted = {"gpu": "true", "zone": "a"}
            task = await function(near, "anywhere").using(requires=wanted).aenqueue()
            service = near.service

            async def held() -> bool:
                return (await service.get(task.id)).held == reasons.NO_CAPABLE_WORKER

            why = await service.why(task.id)
            assert why is not None
            await until(held)
            after = await service.why(task.id)
            assert after == why
            (row,) = await service.fleet.all()
            assert why.code == reasons.NO_CAPABLE_WORKER
            assert why.params == {
                "requires": wanted,
                "workers": 1,
                "closest": [{"worker": row.info.id, "missing": {"zone": "a"}}],
            }
            assert why.text.endswith(f"The closest is {row.info.id}, without zone=a.")
            (blocked,) = await service.fleet.blocked()
            assert (blocked.reason, blocked.function, blocked.able) == (reasons.NO_CAPABLE_WORKER, "anywhere", 0)
            async with made(path, name="right", labels=wanted):
                assert await task.aresult(timeout=10) == "right"

    asyncio.run(story())


def test_a_new_task_reaches_a_worker_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "angelica.db"
        async with made(path, name="strong", labels={"gpu": "true"}, poll="10s") as strong:
            await asyncio.sleep(0.3)
            async with asyncio.timeout(2):  # long before the poll: the wake-up is enough, nothing has to be learnt
                assert await (await function(strong, "gpu").aenqueue()).aresult() == "strong"

    asyncio.run(story())


def test_a_schedule_has_runs_that_require(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "angelica.db"
        async with made(path, name="plain") as plain, made(path, name="strong", labels={"gpu": "true"}):
            handle = await function(plain, "gpu").aschedule(id="s", in_="1s")

            async def runs() -> Any:
                return (await plain.storage.list_tasks(TaskFilter(functions=("gpu",)))).items

            await until(runs)
            (run,) = await runs()
            assert handle.id == "s"
            assert run.spec.extras.requires == {"gpu": "true"}
            assert await (await plain.ahandle(run.id)).aresult(timeout=10) == "strong"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("requires", "says"),
    [
        ({"gpu": True}, "the value of gpu must be text"),
        ({"": "x"}, "the name '' must be"),
        ({"a b": "x"}, "the name 'a b' must be"),
        ({"a": "x,y=z"}, "the value of a must be"),
        ({"a": ""}, "the value of a must be"),
        ({"a": "x" * 64}, "the value of a must be"),
        ({f"n{n}": "x" for n in range(17)}, "at most 16 entries"),
        ("gpu", "must be an object"),
    ],
)
def test_what_is_no_label_is_refused(tmp_path: Path, requires: Any, says: str) -> None:
    engine = made(tmp_path / "angelica.db")
    with pytest.raises(angelica.InvalidValue, match=says):
        function(engine, "anywhere").using(requires=requires)
    with pytest.raises(angelica.InvalidValue):
        engine.task(name="other", requires=requires)(lambda: None)


def test_what_stays_in_its_process_cannot_require(tmp_path: Path) -> None:
    engine = made(tmp_path / "angelica.db")
    with pytest.raises(angelica.InvalidValue, match="requires"):
        engine.task(name="fleeting", durable=False, requires={"gpu": "true"})(lambda: None)

    @engine.task(name="light", durable=False)
    async def light() -> None: ...

    async def story() -> None:
        async with engine:
            with pytest.raises(angelica.InvalidValue, match="requires"):
                await light.using(requires={"gpu": "true"}).aenqueue()

    asyncio.run(story())


def test_a_retry_by_hand_requires_the_same(tmp_path: Path) -> None:
    async def story() -> None:
        async with made(tmp_path / "angelica.db", labels={"gpu": "true"}) as engine:
            task = await function(engine, "gpu").aenqueue()
            await task.aresult(timeout=10)
            again = await engine.service.retry(task.id)
            assert again.spec.extras.requires == {"gpu": "true"}
            assert again.state is State.QUEUED

    asyncio.run(story())
