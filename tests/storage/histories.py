"""Generated histories: operations as data, and the player that does them on one storage and notes every reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from angelica.clock import DAY, MINUTE, SECOND, ManualClock
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Cancelled, Crashed, Failed, LeaseExpired, Outcome, Released, Snoozed, Succeeded
from angelica.domain.task import Extras, Lease, NewTask, Policy, State, Task, TaskError, Unique
from angelica.errors import AngelicaError
from angelica.storage.protocol import (
    Beat,
    Claim,
    Exchanged,
    FunctionRow,
    LogLine,
    Note,
    Request,
    Storage,
    TaskFilter,
    Topic,
)
from tests.storage.world import LEASE, START, worker_info

NAMES = [f"t{n}" for n in range(12)]
FUNCTIONS = ["f", "g", "mail.send"]
QUEUES = ["default", "q1", "q2"]
WORKERS = ["w1", "w2"]
KINDS = ["async", "thread"]
ERROR = TaskError("exception", "ValueError", "bad", "stack", "print", 1)
POLICIES = [Policy(), Policy(retries=0, max_crashes=0, retention=SECOND), Policy(retention=0)]
OUTCOMES: list[Callable[[int], Outcome]] = [
    lambda wall: Succeeded('"ok"'),
    lambda wall: Succeeded(),
    lambda wall: Failed(ERROR),
    lambda wall: Failed(ERROR, retry_after=0),
    lambda wall: Failed(ERROR, final=True),
    lambda wall: Snoozed(wall + SECOND),
    lambda wall: Released(),
    lambda wall: Released(held="unknown_function"),
    lambda wall: Crashed(TaskError("crashed")),
    lambda wall: LeaseExpired("w1"),
    lambda wall: Cancelled("cancelled", "asked"),
]


def moments(wall: int = START) -> st.SearchStrategy[int]:
    return st.sampled_from([wall - 5 * MINUTE, wall - 1, wall, wall + 1, wall + SECOND])


uniques = st.none() | st.builds(
    Unique, st.sampled_from(["k1", "k2"]), st.sampled_from(["live", "retained"]), st.sampled_from(["return", "reject"])
)
extras = st.builds(
    Extras,
    labels=st.sampled_from([{}, {"team": "x"}, {"team": "y", "k": ""}]),
    digest=st.sampled_from([None, None, "d1", "d2"]),
    parent_id=st.sampled_from([None, None, "t0"]),
    retry_of=st.sampled_from([None, None, "t1"]),
)
tasks = st.builds(
    NewTask,
    id=st.sampled_from(NAMES),
    function=st.sampled_from(FUNCTIONS),
    payload=st.just("{}"),
    run_at=moments(),
    created_at=st.integers(START, START + 3),
    policy=st.sampled_from(POLICIES),
    queue=st.sampled_from(QUEUES),
    executor=st.sampled_from(KINDS),
    priority=st.sampled_from([-1, 0, 0, 1, 7]),
    unique=uniques,
    expires_at=st.none() | moments(),
    deadline=st.none() | moments(START + MINUTE),
    extras=extras,
)
plain_tasks = st.builds(
    NewTask,
    id=st.sampled_from(NAMES),
    function=st.sampled_from(FUNCTIONS),
    payload=st.just("{}"),
    run_at=moments(),
    created_at=st.integers(START, START + 3),
    queue=st.sampled_from(QUEUES),
    priority=st.sampled_from([0, 1]),
)
requests = st.builds(
    Request,
    principal=st.just("me"),
    key=st.sampled_from(["r1", "r2"]),
    route=st.just("POST /tasks"),
    digest=st.sampled_from(["d1", "d2"]),
    expires_at=st.sampled_from([START + SECOND, START + DAY]),
)


@dataclass(frozen=True)
class End:
    """One completion of a task that has been claimed: `pick` counts back from the last claim, `late` keeps it stale."""

    pick: int
    outcome: int
    started: bool
    expired: bool
    then: tuple[NewTask, ...] = ()
    logs: int = 0


@dataclass(frozen=True)
class Op:
    """One operation: the name of a method of `Player` and its arguments."""

    verb: str
    args: tuple[Any, ...] = ()


picks = st.integers(0, 7)
ends = st.builds(
    End,
    pick=picks,
    outcome=st.integers(0, len(OUTCOMES) - 1),
    started=st.booleans(),
    expired=st.sampled_from([False, False, False, True]),
    then=st.lists(tasks, max_size=1).map(tuple),
    logs=st.integers(0, 2),
)
claims = st.builds(
    Claim,
    worker=st.sampled_from(WORKERS),
    wanted=st.integers(0, 7),
    room=st.permutations(KINDS).flatmap(
        lambda kinds: st.tuples(*[st.tuples(st.just(kind), st.integers(0, 5)) for kind in kinds])
    ),
    queues=st.none() | st.permutations(QUEUES).map(tuple) | st.sampled_from([("default",), ("q1", "none"), ()]),
    turn=st.integers(0, 5),
)
ids = st.lists(st.sampled_from(NAMES), max_size=4).map(tuple)
names = st.sampled_from(["*", "default", "q*", "q1", "f", "mail*", "mail.send"])
filters = st.builds(
    TaskFilter,
    states=st.none() | st.frozensets(st.sampled_from(list(State)), max_size=3),
    queues=st.lists(names, max_size=2).map(tuple),
    functions=st.lists(names, max_size=2).map(tuple),
    labels=st.sampled_from([{}, {}, {"team": "x"}, {"team": "y", "k": ""}]),
    created_after=st.none() | st.integers(START, START + 3),
    created_before=st.none() | st.integers(START, START + 3),
    held=st.sampled_from([None, None, True, False]),
    retrying=st.sampled_from([None, None, True, False]),
    parent_id=st.sampled_from([None, None, "t0"]),
    retry_of=st.sampled_from([None, None, "t1"]),
)


def op(verb: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[Op]:
    return st.builds(Op, st.just(verb), st.tuples(*args))


def batches(of: st.SearchStrategy[NewTask], size: int) -> st.SearchStrategy[tuple[NewTask, ...]]:
    return st.lists(of, max_size=size).map(tuple)


submits = op("submit", batches(tasks, 6), st.none() | requests, st.booleans())
operations = st.one_of(
    submits,
    submits,
    op("submit", batches(plain_tasks, 8), st.none(), st.just(False)),
    op("exchange", st.lists(ends, max_size=4).map(tuple), st.none() | claims),
    op("exchange", st.lists(ends, max_size=4).map(tuple), claims),
    op("claim", claims),
    op(
        "beat",
        st.sampled_from(WORKERS),
        st.lists(picks, max_size=3).map(tuple),
        st.sampled_from([(), ("f",), ("f", "g")]),
    ),
    op("end_worker", st.sampled_from(WORKERS)),
    op("promote", st.sampled_from([1, 2, 1000])),
    op("sweep"),
    op("cancel", ids, st.sampled_from(["cancelled", "enough"])),
    op("delete", ids),
    op("prune", st.sampled_from([1, 1000])),
    op("logs", st.lists(st.tuples(picks, st.integers(1, 4)), max_size=4).map(tuple)),
    op("notes", st.lists(st.tuples(picks, st.none() | st.just("1"), st.none() | st.just("2")), max_size=3).map(tuple)),
    op("find", filters, st.sampled_from([1, 2, 50]), st.booleans()),
    op("ahead", st.sampled_from(NAMES), st.sampled_from([1, 10_000])),
    op("advance", st.sampled_from([1, SECOND, LEASE, MINUTE, DAY])),
    op("reboot"),
)


class Player:
    """Plays operations on one storage. Whatever it answers is noted in a form in which two storages can be compared."""

    def __init__(self, storage: Storage, clock: ManualClock, run: Callable[..., Any]) -> None:
        self.storage = storage
        self.clock = clock
        self.run = run
        self.claimed: list[Task] = []
        self.boots = 0

    def play(self, operation: Op) -> Any:
        """Do one operation and return what it answered, with the topics that it rang."""
        before = {topic: self.storage.mark(topic) for topic in Topic}
        try:
            reply = getattr(self, operation.verb)(*operation.args)
        except AngelicaError as error:
            reply = type(error).__name__
        rang = sorted(topic.value for topic in Topic if self.storage.mark(topic) > before[topic])
        return operation.verb, reply, rang

    def picked(self, pick: int) -> Task | None:
        return self.claimed[-1 - pick % len(self.claimed)] if self.claimed else None

    def submit(self, new: Sequence[NewTask], request: Request | None, atomic: bool) -> Any:
        return self.run(self.storage.enqueue_many(new, now=self.clock.now(), request=request, atomic=atomic))

    def claim(self, claim: Claim) -> Any:
        return self.exchange((), claim)

    def exchange(self, wanted: Sequence[End], claim: Claim | None) -> Any:
        now = self.clock.now()
        done, journal = [], []
        for end in wanted:
            task = self.picked(end.pick)
            if task is None:
                continue
            journal += [self._line(task, seq) for seq in range(1, end.logs + 1)]
            done.append(
                replace(
                    complete(
                        task,
                        OUTCOMES[end.outcome](now.wall),
                        now=now,
                        chance=0.0,
                        started_at=now.wall if end.started else None,
                        expired_by=now.tick if end.expired else None,
                    ),
                    then=end.then,
                )
            )
        reply = self.run(self.storage.exchange(done, claim, now=now, journal=journal))
        self.claimed += reply.claimed
        return self._plain(reply)

    def beat(self, worker: str, held: Sequence[int], functions: tuple[str, ...]) -> Any:
        now = self.clock.now()
        believed = [task for task in map(self.picked, held) if task is not None]
        leases: tuple[Lease, ...] = tuple(task.lease for task in believed)
        started = tuple((task.id, task.attempt, now.wall) for task in believed)
        beat = Beat(
            worker_info(worker, boot=now.boot, functions=functions), now.tick + LEASE, now.wall, leases, started
        )
        reply = self.run(self.storage.heartbeat(beat, now=now))
        return reply.lost, sorted(reply.cancel), sorted(map(_as_compared, reply.strays), key=lambda task: task.id)

    def end_worker(self, worker: str) -> Any:
        return self.run(self.storage.end_worker(worker, now=self.clock.now()))

    def promote(self, limit: int) -> Any:
        return self.run(self.storage.promote_due(now=self.clock.now(), limit=limit))

    def sweep(self) -> Any:
        now = self.clock.now()
        expired = sorted(self.run(self.storage.expired(now=now)), key=lambda task: task.id)
        settled = [complete(task, LeaseExpired(), now=now, chance=0.0, expired_by=now.tick) for task in expired]
        return [_as_compared(task) for task in expired], self.run(
            self.storage.exchange(settled, None, now=now)
        ).accepted

    def cancel(self, task_ids: Sequence[str], reason: str) -> Any:
        return self.run(self.storage.cancel_many(task_ids, reason=reason, now=self.clock.now()))

    def delete(self, task_ids: Sequence[str]) -> Any:
        return self.run(self.storage.delete_tasks(task_ids))

    def prune(self, limit: int) -> Any:
        return self.run(self.storage.prune(now=self.clock.now(), limit=limit))

    def logs(self, lines: Sequence[tuple[int, int]]) -> Any:
        wanted = [(self.picked(pick), seq) for pick, seq in lines]
        return self.run(self.storage.append_logs([self._line(task, seq) for task, seq in wanted if task is not None]))

    def notes(self, notes: Sequence[tuple[int, str | None, str | None]]) -> Any:
        wanted = [(self.picked(pick), checkpoint, progress) for pick, checkpoint, progress in notes]
        return self.run(self.storage.annotate([Note(t.id, t.attempt, c, p) for t, c, p in wanted if t is not None]))

    def find(self, where: TaskFilter, limit: int, newest_first: bool) -> Any:
        page = self.run(self.storage.list_tasks(where, limit=limit, newest_first=newest_first))
        seen = [(ids_of(page.items), page.next)]
        if page.next is not None:
            after = self.run(self.storage.list_tasks(where, limit=limit, after=page.next, newest_first=newest_first))
            seen.append((ids_of(after.items), after.next))
        return seen

    def ahead(self, task_id: str, limit: int) -> Any:
        (task,) = self.run(self.storage.get_tasks([task_id]))
        return None if task is None else self.run(self.storage.count_ahead(task, limit=limit))

    def advance(self, micros: int) -> None:
        self.clock.advance(micros)

    def reboot(self) -> None:
        self.boots += 1
        self.clock.reboot(f"boot-{self.boots}")

    def everything(self) -> dict[str, Any]:
        """All that is stored."""

        async def read() -> dict[str, Any]:
            storage = self.storage
            found = (await storage.list_tasks(TaskFilter(), limit=1000)).items
            return {
                "tasks": [_as_compared(task) for task in found],
                "again": [task and _as_compared(task) for task in await storage.get_tasks(NAMES)],
                "counts": {key: n for key, n in (await storage.counts()).items() if n},
                "logs": {name: await storage.read_logs(name) for name in NAMES},
                "attempts": {name: await storage.read_attempts(name) for name in NAMES},
                "workers": await storage.list_workers(),
                "functions": await storage.list_functions(),
            }

        return self.run(read())

    def _line(self, task: Task, seq: int) -> LogLine:
        return LogLine(task.id, task.attempt, seq, START, "log", "info", "x", f"line {seq}")

    def _plain(self, reply: Exchanged) -> Any:
        return reply.accepted, [_as_compared(task) for task in reply.claimed], [_as_compared(t) for t in reply.lapsed]


def ids_of(found: Sequence[Task]) -> list[str]:
    return [task.id for task in found]


def _as_compared(task: Task) -> Task:
    """Without the revision: it only has to grow."""
    return replace(task, revision=0)


__all__ = ["FunctionRow", "Op", "Player", "asyncio", "operations"]
