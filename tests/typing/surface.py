"""What a type checker says of the public surface: `make check` reads this file, nothing runs it.

Each `type: ignore` is an error that must be found: one that is not is reported as unused.
"""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import datetime
from typing import Any, assert_type

import angelica
from angelica import (
    Context,
    Engine,
    Exponential,
    Fixed,
    Function,
    InvalidValue,
    Retry,
    ScheduleHandle,
    Settings,
    Snooze,
    TaskHandle,
    Unique,
    exponential_backoff,
)

engine = Engine("memory:", poll="500ms")


@engine.task
async def plain(number: int) -> str:
    return str(number)


@engine.task(retries=5, timeout="30s", backoff=Exponential(base=2.0))
async def with_options(number: int, *, word: str = "") -> list[str]:
    return [word] * number


@engine.task
def blocking(number: int, word: str = "") -> float:
    return number + len(word)


@engine.task(queue="mail", backoff=Fixed(2.0))
def with_context(ctx: Context, number: int) -> None:
    ctx.progress(0.5, "half")
    ctx.checkpoint({"number": number})
    assert_type(ctx.attempt, int)
    assert_type(ctx.remaining(), float | None)
    assert_type(ctx.cancelled(), bool)
    if number < 0:
        raise Retry("not yet", after=10.0)
    raise Snooze(60.0)


@engine.schedule(cron="0 2 * * *", id="a")
@engine.task
async def nightly(number: int = 1) -> str:
    return str(number)


@engine.schedule(every="5m")
@engine.task
def each_five_minutes() -> int:
    return 1


@engine.schedule(every=60)
async def without_task(word: str = "") -> bool:
    return bool(word)


async def schedules() -> None:
    assert_type(nightly.schedule(every=60, id="b"), ScheduleHandle)
    handle = await nightly.aschedule(cron="@daily")
    assert_type(await handle.apause("quiet"), ScheduleHandle)
    assert_type(handle.resume().next(3), list[datetime])
    assert_type(handle.next_fire, datetime | None)
    assert_type(await handle.atrigger(kwargs={"number": 2}), TaskHandle[Any])
    assert_type(await nightly(2), str)
    assert_type(each_five_minutes(), int)
    assert_type(await without_task(word="x"), bool)
    await nightly("2")  # type: ignore[arg-type]


async def calls() -> None:
    coroutine = plain(1)
    _ = assert_type(coroutine, Coroutine[Any, Any, str])
    assert_type(await coroutine, str)
    assert_type(await with_options(1, word="x"), list[str])
    assert_type(blocking(1), float)
    await plain("1")  # type: ignore[arg-type]
    await plain()  # type: ignore[call-arg]
    await with_options(1, "x")  # type: ignore[call-arg]
    blocking(1, words="x")  # type: ignore[call-arg]


async def tasks() -> None:
    handle = await plain.aenqueue(1)
    assert_type(await handle.aresult(timeout=5), str)
    assert_type(handle.id, str)
    await handle.acancel("changed my mind")
    assert_type(blocking.enqueue(1, word="x").result(timeout=5), float)
    assert_type(await (await with_options.aenqueue(2)).aresult(), list[str])
    assert_type(await (await plain.using(queue="mail", delay="5m").aenqueue(1)).aresult(), str)
    await plain.aenqueue("1")  # type: ignore[arg-type]
    await plain.aenqueue(1, 2)  # type: ignore[call-arg]
    blocking.enqueue(word="x")  # type: ignore[call-arg]


async def in_a_transaction(connection: object) -> None:
    assert_type(plain.using(connection=connection).enqueue(1), TaskHandle[str])
    assert_type(await plain.using(connection=connection, notify=False).aenqueue(1), TaskHandle[str])
    assert_type(blocking.using(connection=connection).enqueue_many([(1,), {"number": 2}]), list[TaskHandle[float]])
    assert_type(engine.enqueue_many([(plain, (1,)), (blocking.using(delay=5), {"number": 2})]), list[TaskHandle[Any]])
    engine.enqueue_many([(plain, [1])])  # type: ignore[list-item]
    assert_type(await engine.aenqueue_many([(plain, (1,))], connection=connection, notify=False), list[TaskHandle[Any]])
    plain.using(connection=connection).enqueue("1")  # type: ignore[arg-type]
    engine.enqueue_many([plain])  # type: ignore[list-item]


def values(function: Function[[int], str], handle: TaskHandle[str]) -> None:
    assert_type(function(1), str)
    assert_type(function.name, str)
    assert_type(handle.result(), str)
    assert_type(handle.status, str)
    assert_type(handle.refresh(), TaskHandle[str])
    assert_type(exponential_backoff(3), float)
    assert_type(Settings.load(port=1).port, int)
    assert_type(InvalidValue("/x", "bad").hint, str)
    assert_type(angelica.__version__, str)
    Unique("a", scope="retained")
    Unique("a", scope="forever")  # type: ignore[arg-type]
    Exponential(jitter_mode="none")  # type: ignore[arg-type]
