"""What is promised of a caller's transaction: when workers see it, what stands in its way, and whom it holds up."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from angelica import QueueFull, SubmitRefused, Unique, UniqueConflict
from angelica.errors import IdConflict
from angelica.storage.protocol import TaskFilter
from tests.postgres.house_of_callers import INSERT, engine_on, look, make_orders, orders, plain


@pytest.fixture
def url(postgres_url):
    make_orders(postgres_url)
    return postgres_url


@contextmanager
def submitting(url, **options):
    """An engine that only submits."""
    engine = engine_on(url, **options)
    try:
        engine.call(engine.open())
        yield engine, engine.functions.get("ship")
    finally:
        engine.shutdown()


def connect(url, **options):
    return psycopg.connect(plain(url), **options)


def until(what, seconds=20.0):
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.005)


def test_a_worker_takes_it_after_the_commit_and_never_before(url):
    engine = engine_on(url, poll="30s")
    ship = engine.functions.get("ship")
    with engine, connect(url) as connection:
        ship.using(connection=connection).enqueue("a")
        time.sleep(0.5)
        assert engine.ran == []
        connection.commit()
        began = time.monotonic()
        until(lambda: engine.ran == ["a"])
        assert time.monotonic() - began < 5  # by the notification: the poll is half a minute away


def test_without_notify_it_is_found_by_the_poll(url):
    engine = engine_on(url, poll="200ms")
    with engine, connect(url) as connection, connect(url, autocommit=True) as listener:
        listener.execute(f"listen {engine.storage.address.channel}")
        engine.functions.get("ship").using(connection=connection, notify=False).enqueue("a")
        connection.commit()
        until(lambda: engine.ran == ["a"])
        said = [note.payload for note in listener.notifies(timeout=0.2) if note.payload.startswith(":")]
        assert said == []


def test_a_transaction_notifies_once_of_each_topic(url):
    with submitting(url) as (engine, ship), connect(url) as connection, connect(url, autocommit=True) as listener:
        listener.execute(f"listen {engine.storage.address.channel}")
        for n in range(3):
            ship.using(connection=connection).enqueue(str(n))
            ship.using(connection=connection, delay=60).enqueue_many([(str(n),), ("x",)])
        connection.commit()
        said = [note.payload for note in listener.notifies(timeout=0.5) if note.payload.startswith(":")]
        assert sorted(said) == [":r", ":u"]


def test_ids_and_keys_are_judged_without_harm_to_the_transaction(url):
    with submitting(url) as (engine, ship):
        before = ship.using(task_id="one").enqueue("a")
        held = ship.using(unique="k").enqueue("b")
        with connect(url) as connection:
            mine = ship.using(connection=connection)
            connection.execute(INSERT.format("a"))
            again = mine.using(task_id="one").enqueue("a")
            assert (again.id, again.created) == (before.id, False)
            with pytest.raises(IdConflict):
                mine.using(task_id="one").enqueue("other")
            assert mine.using(unique="k").enqueue("b").id == held.id
            with pytest.raises(UniqueConflict) as caught:
                mine.using(unique=Unique("k", on_conflict="reject")).enqueue("b")
            assert caught.value.task_id == held.id
            first = mine.using(unique="new").enqueue("c")
            second = mine.using(unique="new").enqueue("c")
            assert (first.created, second.created, second.id) == (True, False, first.id)
            assert second.task.function == "ship"
            with pytest.raises(IdConflict):
                engine.enqueue_many(
                    [(ship, ("d",)), (ship.using(task_id="one"), ("other",))],
                    connection=connection,
                )
        assert orders(url) == ["a"]
        assert [row[0] for row in look(url, "select payload::json->'args'->>0 from {}.tasks order by 1")] == [
            "a",
            "b",
            "c",
        ]


def test_who_loses_a_race_inside_of_a_transaction_takes_back_what_it_wrote(url):
    with submitting(url) as (engine, ship), connect(url) as first, connect(url) as second:
        key = ship.using(unique=Unique("k", on_conflict="reject"))
        winner = key.using(connection=first).enqueue("a")
        second.execute(INSERT.format("b"))
        calls = [(engine.functions.get("bill"), ("x",)), (key, ("b",))]
        with ThreadPoolExecutor() as pool:
            losing = pool.submit(engine.enqueue_many, calls, connection=second)
            time.sleep(0.3)
            assert not losing.done()  # who wants the same key has to know what becomes of the first
            first.commit()
            with pytest.raises(UniqueConflict) as caught:
                losing.result(30)
        assert caught.value.task_id == winner.id
        second.commit()
        assert orders(url) == ["b"]
        assert look(url, "select id from {}.tasks") == [(winner.id,)]
        assert look(url, "select queue, sum(n)::int from {}.counters group by 1") == [("default", 1)]
        assert look(url, "select count(*) from {}.labels") == [(0,)]


def test_a_transaction_that_stays_open_holds_up_nobody(url):
    engine = engine_on(url, poll="30s")
    ship, bill = engine.functions.get("ship"), engine.functions.get("bill")
    keyed = ship.using(unique=Unique("k", scope="retained"))  # else a worker may end it before the other looks again
    with engine, connect(url) as long:
        open_ones = [keyed.using(connection=long).enqueue("long")]
        open_ones += bill.using(connection=long).enqueue_many([("long",)] * 20)
        with connect(url) as other:
            ship.using(connection=other).enqueue("other")
        slowest = 0.0
        with ThreadPoolExecutor() as pool:
            same_key = pool.submit(keyed.enqueue, "same key")
            for n in range(60):
                began = time.monotonic()
                # Others with keys and labels travel in the same batches as the one that has to wait.
                ship.using(unique=f"key {n}").enqueue(f"u{n}")
                bill.enqueue(f"b{n}")
                slowest = max(slowest, time.monotonic() - began)
            until(lambda: len(engine.ran) == 121)
            assert "long" not in engine.ran
            assert not same_key.done()
            assert slowest < 3
            now = engine.clock.now()
            engine.call(engine.storage.prune(now=now))
            engine.call(engine.storage.promote_due(now=now))
            assert sum(engine.call(engine.storage.counts()).values()) == 121
            long.commit()
            answer = same_key.result(30)
        assert (answer.id, answer.created) == (open_ones[0].id, False)
        until(lambda: len(engine.ran) == 142)


def test_who_waits_for_an_open_transaction_gets_the_key_if_that_is_rolled_back(url):
    with submitting(url) as (_, ship), connect(url) as long:
        gone = ship.using(connection=long, unique="k").enqueue("long")
        with ThreadPoolExecutor() as pool:
            waiting = [
                pool.submit(ship.using(unique="k").enqueue, "one"),
                pool.submit(ship.using(unique="k").enqueue_many, [("many",)]),
            ]
            time.sleep(0.4)
            assert not any(each.done() for each in waiting)
            long.rollback()
            ids = {waiting[0].result(30).id, waiting[1].result(30)[0].id}
        assert len(ids) == 1
        assert gone.id not in ids


def test_its_counts_are_folded_into_the_others(url):
    with submitting(url) as (engine, ship):
        for n in range(3):
            with connect(url) as connection:
                ship.using(connection=connection).enqueue(str(n))
                ship.using(connection=connection, queue="slow").enqueue(str(n))
        slots = "select count(*) from {}.counters where slot < 0"
        assert look(url, slots) == [(6,)]
        counts = engine.call(engine.storage.counts())
        assert {queue: n for (queue, _), n in counts.items()} == {"default": 3, "slow": 3}
        engine.call(engine.storage.prune(now=engine.clock.now()))
        assert look(url, slots) == [(0,)]
        assert engine.call(engine.storage.counts()) == counts


def test_hooks_and_limits_are_as_elsewhere_but_nothing_is_announced(url):
    told = []
    engine = engine_on(url, max_depth=2)
    ship = engine.functions.get("ship")

    @engine.hook("before_submit")
    def look_at(submission):
        submission.headers["by"] = "hook"
        if submission.args == ("no",):
            raise SubmitRefused("not this one")

    engine.hook("after_submit")(told.append)
    try:
        with connect(url) as connection:
            mine = ship.using(connection=connection)
            with pytest.raises(SubmitRefused):
                mine.enqueue("no")
            mine.enqueue_many([("a",), ("b",)])
            with pytest.raises(QueueFull):
                mine.enqueue("c")
        assert told == []
        found = engine.call(engine.storage.list_tasks(TaskFilter())).items
        assert [task.spec.extras.headers for task in found] == [{"by": "hook"}] * 2
    finally:
        engine.shutdown()


def test_the_caller_s_thread_is_the_only_one_on_the_connection(url):
    threads = set()

    class Watched(psycopg.Connection):
        def cursor(self, *args, **kwargs):
            threads.add(threading.get_ident())
            return super().cursor(*args, **kwargs)

    with submitting(url) as (_, ship), Watched.connect(plain(url)) as connection:
        ship.using(connection=connection, unique="k").enqueue("a")
        assert threads == {threading.get_ident()}
