"""A store that is moved there and back is what it was: all tables, all rows, whatever is in them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from angelica.clock import ManualClock
from angelica.domain.breaker import Circuit
from angelica.domain.outcome import Succeeded
from angelica.storage.protocol import FunctionRow, LimitPut
from tests.move.house import WAYS, dumped, move, place
from tests.postgres.session import session
from tests.storage.breaker_histories import BreakerPlayer, breaker_histories
from tests.storage.histories import Op, Player, histories
from tests.storage.limit_histories import LimitPlayer, limit_histories
from tests.storage.schedule_histories import SchedulePlayer, schedule_histories
from tests.storage.world import START, World, ids, line, new

effort = settings(
    max_examples=4,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
ODD = "a\0b\\x00 \\u0000 \U0001f600 'quote' \"q\" \t\n\x7f ''"


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@effort
@given(history=histories(40))
def test_a_generated_store(way: tuple[str, str], history: list[Op], tmp_path_factory: pytest.TempPathFactory) -> None:
    there_and_back(way, history, Player, tmp_path_factory.mktemp("move"))


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@effort
@given(history=schedule_histories(40))
def test_a_generated_store_with_schedules(
    way: tuple[str, str], history: list[Op], tmp_path_factory: pytest.TempPathFactory
) -> None:
    there_and_back(way, history, SchedulePlayer, tmp_path_factory.mktemp("move"))


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@effort
@given(history=limit_histories(40))
def test_a_generated_store_with_limits(
    way: tuple[str, str], history: list[Op], tmp_path_factory: pytest.TempPathFactory
) -> None:
    there_and_back(way, history, LimitPlayer, tmp_path_factory.mktemp("move"))


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@effort
@given(history=breaker_histories(40))
def test_a_generated_store_with_breakers_and_fair_queues(
    way: tuple[str, str], history: list[Op], tmp_path_factory: pytest.TempPathFactory
) -> None:
    there_and_back(way, history, BreakerPlayer, tmp_path_factory.mktemp("move"))


def there_and_back(way: tuple[str, str], history: list[Op], player: type[Player], directory: Path) -> None:
    clock = ManualClock()
    first = place(way[0], directory, clock, "first.db")
    second = place(way[1], directory, clock, "second.db")
    third = place(way[0], directory, clock, "third.db")
    try:
        with asyncio.Runner() as runner:
            storage = first.storage()
            runner.run(storage.open())
            made = player(storage, clock, runner.run)
            for operation in history:
                made.play(operation)
            runner.run(storage.put_functions([FunctionRow("f", 1, "async", "{}", "{}", "doc", START)]))
            runner.run(storage.close())
            before = runner.run(dumped(first))
            moved = runner.run(move(first, second))
            assert runner.run(dumped(second)) == before
            assert moved.rows == {name: len(before[name]) for name in moved.rows}
            runner.run(move(second, third))
            assert runner.run(dumped(third)) == before
    finally:
        session().drop_schemas()


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_texts_and_numbers_are_kept_to_the_last_bit(way: tuple[str, str], tmp_path: Path) -> None:
    source, target = place(way[0], tmp_path, name="a.db"), place(way[1], tmp_path, name="b.db")
    with World(source.storage(), ManualClock()) as world:
        fill(world)
    before = asyncio.run(dumped(source))
    assert any("x00" in row[-1] for row in before["logs"])
    asyncio.run(move(source, target))
    assert asyncio.run(dumped(target)) == before
    with World(target.storage(), ManualClock()) as world:
        assert world.get("t1").spec.payload == '{"args":["\\u0000",9007199254740993,1e400],"kwargs":{}}'
        assert world.get("t1").spec.run_at == START - 2**40
        assert world.get("t2").result == '"\\u0000 \U0001f600"'


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_limits_hold_where_the_store_has_gone(way: tuple[str, str], tmp_path: Path) -> None:
    source, target = place(way[0], tmp_path, name="a.db"), place(way[1], tmp_path, name="b.db")
    with World(source.storage(), ManualClock()) as world:
        world.limit("limit:narrow", max_running=1)
        world.limit("queue:other", paused=True)
        world.submit(new("a", limits=("narrow",)), new("b", limits=("narrow",)), new("c", queue="other"))
        assert ids(world.claim()) == ["a"]
    asyncio.run(move(source, target))
    with World(target.storage(), ManualClock()) as world:
        assert world.gates()["limit:narrow"] == 1
        assert world.claim() == ()
        world.end(world.get("a"))
        world.run(world.storage.relieve(now=world.now))
        assert ids(world.claim()) == ["b"]
        assert world.run(world.storage.check()).ok


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_breakers_and_turns_are_where_the_store_has_gone(way: tuple[str, str], tmp_path: Path) -> None:
    source, target = place(way[0], tmp_path, name="a.db"), place(way[1], tmp_path, name="b.db")
    with World(source.storage(), ManualClock()) as world:
        world.run(world.storage.force_breaker("stripe", Circuit.OPEN, now=world.now, by="eve"))
        world.limit("queue:default", fair="tenant")
        for tenant in "ab":
            world.submit(*[new(f"{tenant}{n}", headers={"tenant": tenant}) for n in range(3)])
        world.submit(new("u", queue="other", uses=("stripe",)))
        (first,) = world.claim(1)
        world.end(first)
        assert first.id == "a0"
        breakers = world.run(world.storage.list_breakers())
    asyncio.run(move(source, target))
    with World(target.storage(), ManualClock()) as world:
        assert world.run(world.storage.list_breakers()) == breakers
        assert ids(world.claim(1)) == ["b0"]
        assert "u" not in ids(world.claim(9))
        assert world.get("u").held == "breaker:stripe"


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_whoever_has_the_target_open_learns_of_the_limits(way: tuple[str, str], tmp_path: Path) -> None:
    source, target = place(way[0], tmp_path, name="a.db"), place(way[1], tmp_path, name="b.db")
    with World(source.storage(), ManualClock()) as world:
        world.limit("queue:default", max_running=1)
        world.submit(*[new(f"t{n}") for n in range(3)])
    with World(target.storage(), ManualClock()) as world:
        # An edition of the same name as the source's, of other limits.
        world.run(world.storage.put_limits([LimitPut("queue:default", declared={"rate": "1000/s"})], now=world.now))
        assert world.claim() == ()
        world.run(move(source, target))
        assert ids(world.claim()) == ["t0"]
        assert world.claim() == ()


def fill(world: World) -> None:
    payload = '{"args":["\\u0000",9007199254740993,1e400],"kwargs":{}}'
    world.submit(new("t2", labels={"k": "'; --"}))
    (task,) = world.claim()
    world.run(world.storage.append_logs([line(task, 1, ODD), line(task, 2, ""), line(task, 3, "x" * 100_000)]))
    world.end(task, Succeeded('"\\u0000 \U0001f600"'))
    world.submit(new("t1", payload=payload, run_at=START - 2**40, labels={"odd": "\U0001f600"}))
