"""A function whose downstream fails: it is left alone, tried by one task, and all go on when it works again."""

from __future__ import annotations

import asyncio
import time

import pytest

from angelica.domain.breaker import Circuit
from angelica.domain.task import State
from angelica.errors import InvalidValue
from tests.engine.house_of_engines import end_of, engine_on, run

APART = 0.4


class Overloaded(Exception):
    """As an HTTP client raises it."""

    def __init__(self):
        super().__init__("busy")
        self.status_code = 503
        self.headers = {"Retry-After": str(APART)}


class Downstream:
    """Something that does not work until it is mended; notes who called."""

    def __init__(self):
        self.down = True
        self.calls = []

    def call(self, n):
        self.calls.append(n)
        if self.down:
            raise Overloaded
        return n


async def breaker_of(engine):
    return (await engine.service.breakers.one("stripe")).breaker


async def trips_of(engine, count, within=15.0):
    """Wait until it has tripped so often."""
    ends_at = time.monotonic() + within
    while (await breaker_of(engine)).trips < count:
        assert time.monotonic() < ends_at, "it did not come true in time"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("executor", ["async", "thread"])
def test_a_downstream_that_fails_is_left_alone_and_tried_one_at_a_time(url, executor):
    async def story():
        engine = engine_on(url, poll=0.05)
        stripe = Downstream()

        async def awork(n: int) -> int:
            return stripe.call(n)

        def work(n: int) -> int:
            return stripe.call(n)

        handler = awork if executor == "async" else work
        charge = engine.task(name="charge", uses="stripe", retries=0, trip_on=[KeyError])(handler)

        @engine.task(name="other")
        async def other():
            return "well"

        async with engine:
            for handle in await charge.aenqueue_many([(n,) for n in range(10)]):
                assert (await end_of(handle)).state is State.FAILED
            breaker = await breaker_of(engine)
            assert breaker.trips >= 1
            assert 0 < breaker.until - breaker.since <= APART * 1_000_000, "Retry-After wins"
            more = await charge.aenqueue_many([(n,) for n in range(10, 40)])
            assert await (await other.aenqueue()).aresult(10) == "well"
            await trips_of(engine, 3)
            assert len(stripe.calls) <= 15, "one at a time while it is down"
            held = [task for task in [await engine.service.get(handle.id) for handle in more] if task.held]
            assert len(held) >= 24
            assert {(task.held, task.attempt, task.failures) for task in held} == {("breaker:stripe", 0, 0)}
            stripe.down = False
            ends = [(await end_of(handle)).state for handle in more]
            assert ends.count(State.SUCCEEDED) >= 24
            assert (await breaker_of(engine)).circuit is Circuit.CLOSED

    run(story())


def test_what_is_not_to_blame_does_not_trip_it(url):
    async def story():
        engine = engine_on(url)

        @engine.task(name="charge", uses="stripe", retries=0, trip_on=[ConnectionError])
        async def charge():
            raise ValueError("our own fault")

        async with engine:
            for handle in await charge.aenqueue_many([()] * 12):
                assert (await end_of(handle)).state is State.FAILED
            assert (await breaker_of(engine)).circuit is Circuit.CLOSED

    run(story())


@pytest.mark.parametrize(
    "given",
    [{"latency": 1}, {"trip_on": [KeyError]}, {"uses": "a", "durable": False}, {"uses": "no name"}, {"uses": []}],
)
def test_a_declaration_that_makes_no_sense_is_refused(given):
    with pytest.raises(InvalidValue):
        engine_on().task(name="x", **given)(lambda: None)
