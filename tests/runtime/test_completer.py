"""The completer: one exchange at a time, nothing lost between an end and the store, hunger where there may be more."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from angelica.clock import SECOND, ManualClock
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Failed, Released, Succeeded
from angelica.domain.resources import Capacity
from angelica.domain.task import TaskError
from angelica.errors import StorageUnavailable
from angelica.runtime.completer import Completer
from angelica.runtime.means import Means
from angelica.runtime.placement import Placement
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Claim, Exchanged, Note
from tests.runtime.house_of_attempts import assignment, no_handler, run, until
from tests.storage.faulty import FaultyStorage
from tests.storage.world import new, worker_info

CLOCK = ManualClock()


class Store:
    """Answers exchanges from a script: an exception, tasks to claim, or nothing."""

    def __init__(self):
        self.exchanges = []
        self.annotated = []
        self.script = []
        self.hold = None
        self.rings = 0
        self.rung = asyncio.Event()

    async def exchange(self, ends, claim, *, now, journal=()):
        self.exchanges.append((tuple(ends), claim, tuple(journal)))
        if self.hold is not None:
            await self.hold.wait()
        answer = self.script.pop(0) if self.script else ()
        if isinstance(answer, Exception):
            raise answer
        return Exchanged(tuple(True for _ in ends), tuple(answer))

    async def annotate(self, notes):
        self.annotated.append(tuple(notes))
        await asyncio.sleep(0.01)
        return frozenset()

    def mark(self, topic):
        return self.rings

    async def wait(self, topic, since, timeout):
        try:
            await asyncio.wait_for(self.rung.wait(), timeout)
        except TimeoutError:
            return self.rings
        self.rung.clear()
        self.rings += 1
        return self.rings

    def written(self):
        return [end.task_id for ends, _, _ in self.exchanges for end in ends]


class FakeRoom:
    kinds = frozenset({"async"})

    def __init__(self, free=10):
        self.free = free

    def now(self, kinds):
        return ((("async", self.free),), self.free) if self.free else ((), 0)

    def slots(self):
        return {"async": self.free}


def bench(store, room=None, poll=60.0):
    written = []
    means = Means(CLOCK, lambda: 0.5, lambda event: None)
    placement = Placement(Capacity(4.0, 1 << 30))
    completer = Completer(
        store, worker_info(), room or FakeRoom(), placement, means=means, poll=poll, on_written=written.append
    )
    return completer, written


def end_of(name):
    made = assignment(no_handler, name)
    return made, complete(made.task, Succeeded("1"), now=CLOCK.now(), chance=0.0)


def test_ends_gather_while_an_exchange_is_under_way():
    async def story():
        store = Store()
        completer, written = bench(store, FakeRoom(0))
        completer.start()
        store.hold = asyncio.Event()
        completer.add(*end_of("first"), (), None)
        await until(lambda: store.exchanges)
        for n in range(5):
            completer.add(*end_of(f"later {n}"), (), None)
        store.hold.set()
        await completer.flush()
        assert [len(ends) for ends, _, _ in store.exchanges] == [1, 5]
        assert sum(len(each.ends) for each in written) == 6
        await completer.stop()

    run(story())


@pytest.mark.parametrize("error", [StorageUnavailable("down"), LookupError("a bug")])
def test_what_the_store_did_not_take_is_kept_in_order_and_written_later(error):
    async def story():
        store = Store()
        completer, written = bench(store, FakeRoom(0))
        store.script = [error, error]
        completer.start()
        completer.add(*end_of("a"), ("line a",), Note("a", 1, progress="1"))
        await until(lambda: completer.problem is not None)
        completer.add(*end_of("b"), ("line b",), Note("b", 1, progress="2"))
        await completer.flush()
        assert completer.problem is None
        last = store.exchanges[-1]
        assert [end.task_id for end in last[0]] == ["a", "b"]
        assert last[2] == ("line a", "line b")
        assert [note.task_id for note in store.annotated[-1]] == ["a", "b"]
        assert [made.task_id for each in written for made, _ in each.ends] == ["a", "b"]
        await completer.stop()

    run(story())


def test_a_note_that_comes_while_others_are_being_written_is_not_lost():
    async def story():
        store = Store()
        completer, _ = bench(store, FakeRoom(0))
        completer.start()
        completer.add(*end_of("a"), (), Note("a", 1, checkpoint="1"))
        await until(lambda: store.annotated)  # it takes 10 ms
        completer.add(*end_of("b"), (), Note("b", 1, checkpoint="2"))
        await completer.flush()
        assert [[note.task_id for note in notes] for notes in store.annotated] == [["a"], ["b"]]
        await completer.stop()

    run(story())


def test_it_claims_at_once_after_a_ring_and_again_as_long_as_claims_come_back_full():
    async def story():
        store, room = Store(), FakeRoom(2)
        completer, written = bench(store, room)
        task = SimpleNamespace(spec=SimpleNamespace(executor="async"))
        completer.start()
        await until(lambda: len(store.exchanges) == 1)  # what was there before it came
        await asyncio.sleep(0.02)
        assert len(store.exchanges) == 1
        store.script = [(task, task), (task, task), (task,)]
        store.rung.set()
        await until(lambda: len(store.exchanges) == 4)
        await asyncio.sleep(0.02)
        assert len(store.exchanges) == 4
        assert [len(each.reply.claimed) for each in written] == [0, 2, 2, 1]
        assert len({claim.turn for _, claim, _ in store.exchanges}) == 4
        await completer.stop()

    run(story())


def test_without_rings_it_looks_at_the_poll_interval():
    async def story():
        store = Store()
        completer, _ = bench(store, poll=0.01)
        completer.start()
        await until(lambda: len(store.exchanges) >= 4)
        await completer.stop()

    run(story())


def test_it_claims_nothing_once_it_may_not_but_still_writes():
    async def story():
        store = Store()
        completer, _ = bench(store, poll=0.01)
        completer.claiming = False
        completer.start()
        completer.add(*end_of("a"), (), None)
        await completer.flush()
        assert store.exchanges == [(store.exchanges[0][0], None, ())]
        assert store.written() == ["a"]
        await completer.stop()

    run(story())


OUTCOMES = {"won": Succeeded("1"), "back": Released(), "failed": Failed(TaskError("exception"), retry_after=SECOND)}


async def claimed(storage):
    """Tasks that are running, as assignments with their ends, and one more that is somebody else's by now."""
    await storage.enqueue_many([new(name) for name in (*OUTCOMES, "stolen")], now=CLOCK.now())
    tasks = (await storage.exchange((), Claim("w1", 9, (("async", 9),)), now=CLOCK.now())).claimed
    ends = [
        complete(task, OUTCOMES.get(task.id, Succeeded("late")), now=CLOCK.now(), chance=0.0)
        for task in sorted(tasks, key=lambda task: task.id)
    ]
    (stolen,) = [task for task in tasks if task.id == "stolen"]
    await storage.exchange([complete(stolen, Released(), now=CLOCK.now(), chance=0.0)], None, now=CLOCK.now())
    return [(assignment(no_handler, end.task_id, attempt=end.attempt), end) for end in ends]


# The calls of the completer alone, from the first: exchange, exchange again, get_tasks, read_attempts of two.
@pytest.mark.parametrize(
    "faults",
    [{1: "after"}, {1: "before"}, {1: "after", 2: "after"}, {1: "after", 3: "before"}, {1: "after", 4: "after"}],
    ids=str,
)
def test_ends_that_a_lost_call_had_written_are_told_as_written(faults):
    async def story():
        storage = FaultyStorage(MemoryStorage(CLOCK))
        pairs = await claimed(storage)
        storage.faults = {storage.calls + number: fault for number, fault in faults.items()}
        completer, written = bench(storage, FakeRoom(0))
        for made, end in pairs:
            completer.add(made, end, (), None)
        completer.start()
        await completer.flush()
        await completer.stop()
        answers = [
            (end.task_id, ok) for each in written for (_, end), ok in zip(each.ends, each.reply.accepted, strict=True)
        ]
        assert sorted(answers) == [("back", True), ("failed", True), ("stolen", False), ("won", True)]
        assert completer.problem is None

    run(story())


def test_what_was_claimed_does_not_wait_for_the_answer_about_a_lost_call():
    async def story():
        storage = FaultyStorage(MemoryStorage(CLOCK))
        pairs = await claimed(storage)
        storage.faults = {storage.calls + number: fault for number, fault in {1: "after", 3: "before"}.items()}
        completer, written = bench(storage, FakeRoom(1))
        for made, end in pairs:
            completer.add(made, end, (), None)
        completer.start()
        await until(lambda: written)
        assert [task.id for task in written[0].reply.claimed] == ["stolen"]
        assert written[0].ends == []
        await completer.flush()
        await completer.stop()

    run(story())
