"""Schedules in Python: declared above a function, made at run time, held by a handle, drained in a test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from angelica import Engine, InvalidArguments, InvalidValue, NotFound, Refused, ScheduleConflict, ScheduleHandle
from angelica.clock import SECOND, ManualClock
from angelica.domain.events import ScheduleChanged, SchedulesFired
from angelica.domain.schedule import Overlap, Phase
from angelica.runtime.functions import AsyncFunction, Function
from angelica.testing.kit import STORES, TestClock, TestWorker, discard, in_test, make_test_storage
from tests.postgres.session import session

pytestmark = pytest.mark.filterwarnings("error")

START = 1_780_272_000 * SECOND  # 2026-06-01T00:00Z


class Shop:
    """An engine with one function, and what its runs were given."""

    def __init__(self, directory, kind) -> None:
        self.clock = ManualClock(wall=START)
        self.storage = make_test_storage(kind, directory, self.clock)
        self.engine = Engine("memory:")
        self.ran: list[object] = []

        @self.engine.task(name="report")
        async def report(day: int = 0, when: datetime | None = None) -> None:
            self.ran.append(day if when is None else (day, when))

        self.report = report
        self.time = TestClock(self.clock)
        self.worker = TestWorker(self.engine)

    def open(self):
        return in_test(self.engine, self.storage, self.clock)


@pytest.fixture(params=STORES)
def shop(request, tmp_path, monkeypatch) -> Iterator[Shop]:
    if request.param == "postgres":
        monkeypatch.setenv("ANGELICA_TEST_POSTGRES", session().server().url())
    made = Shop(tmp_path, request.param)
    yield made
    discard(made.storage)


def test_the_decorator_declares_and_leaves_the_function_alone(shop) -> None:
    report = shop.report
    assert shop.engine.schedule(cron="0 2 * * *", id="nightly", kwargs={"day": 2})(report) is report
    assert shop.engine.schedule(every="1h")(report) is report
    with shop.open() as engine:
        page = engine.call(engine.schedules.list())
        assert [(each.id, each.owner) for each in page.items] == [("nightly", "code"), ("report", "code")]
        shop.time.shift("2h")
        assert shop.worker.drain() == {"succeeded": 2}
        assert sorted(shop.ran) == [0, 2]


def test_the_decorator_makes_functions_of_plain_handlers(shop) -> None:
    @shop.engine.schedule(every=60, id="a")
    @shop.engine.schedule(every=120, id="b")
    def plain() -> None:
        shop.ran.append("plain")

    @shop.engine.schedule(every=60, id="c")
    async def waiting() -> None:
        shop.ran.append("waiting")

    assert type(plain) is Function
    assert isinstance(waiting, AsyncFunction)
    with shop.open():
        shop.time.shift(60)
        shop.worker.drain()
    assert sorted(map(str, shop.ran)) == ["plain", "waiting"]


def test_before_the_engine_is_open_schedule_declares(shop) -> None:
    handle = shop.report.schedule(cron="0 2 * * *", timezone="Asia/Shanghai", id="nightly", overlap="queue_one")
    assert isinstance(handle, ScheduleHandle)
    assert repr(handle) == "<ScheduleHandle nightly declared>"
    with shop.open():
        assert handle.schedule.rules.overlap is Overlap.QUEUE_ONE
        assert handle.next_fire == datetime(2026, 6, 1, 18, tzinfo=UTC)
        assert handle.schedule.owner == "code"


def test_a_bad_declaration_fails_where_it_stands(shop) -> None:
    with pytest.raises(InvalidValue, match="cron"):
        shop.engine.schedule(cron="61 * * * *")(shop.report)
    with pytest.raises(InvalidArguments):
        shop.engine.schedule(every=60, kwargs={"dya": 1})(shop.report)
    with pytest.raises(Refused, match="did you mean cron"):
        shop.report.schedule(crn="* * * * *")
    shop.report.schedule(every=60)
    with pytest.raises(InvalidValue, match="declared twice"):
        shop.report.schedule(every=90)


def test_at_run_time_schedule_stores_at_once(shop) -> None:
    with shop.open():
        handle = shop.report.schedule(at=datetime(2026, 6, 1, 3, tzinfo=UTC), id="once", kwargs={"day": 3})
        assert handle.created
        assert (handle.schedule.owner, handle.phase) == ("api", Phase.ACTIVE)
        assert not shop.report.schedule(at="2026-06-01T03:00:00Z", id="once", kwargs={"day": 3}).created
        with pytest.raises(ScheduleConflict):
            shop.report.schedule(every=60, id="once")
        assert shop.report.schedule(every=60, id="once", replace=True).schedule.version == 2
        shop.time.shift("1m")
        shop.worker.drain()
    assert shop.ran == [0]


def test_values_options_and_spellings_of_python(shop) -> None:
    with shop.open():
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        slow = shop.report.using(queue="slow", priority=3)
        handle = slow.schedule(
            every=timedelta(minutes=5), args=[4, moment], task={"priority": 9}, grace=timedelta(seconds=30)
        )
        run = handle.schedule.run
        assert (run.queue, run.priority) == ("slow", 9)
        later = shop.report.schedule(in_="10m")
        assert later.next_fire == datetime(2026, 6, 1, 0, 10, tzinfo=UTC)
        shop.time.shift("5m")
        shop.worker.drain()
        assert shop.ran == [(4, moment)]


def test_a_handle_does_what_an_operator_does(shop) -> None:
    with shop.open() as engine:
        handle = shop.report.schedule(cron="*/5 * * * *", id="s")
        assert handle.next(2) == [datetime(2026, 6, 1, 0, minute, tzinfo=UTC) for minute in (5, 10)]
        assert handle.pause("quiet").phase is Phase.PAUSED
        task = handle.trigger(kwargs={"day": 8})
        assert shop.worker.drain() == {"succeeded": 1}
        assert task.wait(5).status == "SUCCEEDED"
        assert handle.resume().phase is Phase.ACTIVE
        assert handle.edit(cron="0 4 * * *", task={"queue": "slow"}).definition == {
            "name": "report",
            "cron": "0 4 * * *",
            "task": {"queue": "slow"},
        }
        same = engine.schedule_handle("s")
        assert same.refresh().schedule == handle.schedule
        handle.delete()
        with pytest.raises(NotFound):
            same.refresh()
    assert shop.ran == [8]


def test_handles_have_an_async_side(shop) -> None:
    async def story() -> None:
        handle = await shop.report.aschedule(every="1m", id="s")
        assert (await handle.apause()).phase is Phase.PAUSED
        assert (await handle.aresume(catch_up=True)).phase is Phase.ACTIVE
        assert (await handle.aedit(every="2m")).schedule.version == 2
        assert len(await handle.anext(3)) == 3
        task = await handle.atrigger()
        assert (await task.arefresh()).status == "PENDING"
        assert (await handle.arefresh()).schedule.id == "s"
        await handle.adelete(cancel_running=True)
        assert (await task.arefresh()).status == "CANCELLED"

    with shop.open() as engine:
        engine.call(story())


def test_a_declared_schedule_is_edited_and_reset_by_its_handle(shop) -> None:
    handle = shop.report.schedule(cron="0 2 * * *", id="nightly")
    with shop.open():
        assert handle.edit(cron="0 3 * * *").next_fire == datetime(2026, 6, 1, 3, tzinfo=UTC)
        assert handle.reset("cron").next_fire == datetime(2026, 6, 1, 2, tzinfo=UTC)


def test_drain_catches_up_as_a_worker_would(shop) -> None:
    with shop.open():
        shop.report.schedule(cron="0 * * * *", id="s", catch_up="all", overlap="queue_all")
        shop.time.shift("3h")
        assert shop.worker.drain() == {"succeeded": 3}
        assert shop.worker.drain() == {}


def test_events_tell_of_schedules(shop) -> None:
    told: list[object] = []
    shop.engine.on(SchedulesFired, told.append)
    shop.engine.on(ScheduleChanged, told.append)
    with shop.open():
        shop.report.schedule(every=60, id="s")
        shop.time.shift(60)
        shop.worker.drain()
    assert [type(event).__name__ for event in told] == ["ScheduleChanged", "SchedulesFired"]


@pytest.mark.parametrize("scheduler", [True, False])
def test_a_worker_fires_and_one_without_scheduler_does_not(tmp_path, scheduler) -> None:
    engine = Engine(tmp_path / "a.db", scheduler=scheduler, durability="fast")
    ran = asyncio.Event()

    @engine.schedule(at=datetime.now(UTC), id="now", catchup_window="1h")
    @engine.task(name="f")
    async def f() -> None:
        ran.set()

    async def story() -> int:
        async with engine:
            if scheduler:
                await asyncio.wait_for(ran.wait(), 10)
            return (await engine.schedules.get("now")).runs

    assert asyncio.run(story()) == int(scheduler)


def test_what_is_declared_is_stored_before_a_handle_asks_for_it(tmp_path) -> None:
    engine = Engine(tmp_path / "a.db", durability="fast")

    @engine.task(name="f")
    async def f() -> None:
        """Do nothing."""

    handle = f.schedule(cron="0 2 * * *", id="nightly")
    try:
        assert handle.pause("not yet").phase is Phase.PAUSED
    finally:
        engine.shutdown()
