"""Generated histories: operations as data, and the player that does them on one storage and notes every reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any

from hypothesis import strategies as st

from angelica.clock import DAY, MINUTE, SECOND, ManualClock
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Cancelled, Crashed, Failed, LeaseExpired, Outcome, Released, Snoozed, Succeeded
from angelica.domain.placement import EVERYTHING, Space
from angelica.domain.resources import UNBOUNDED, Amount, Capacity
from angelica.domain.task import NO_EXTRAS, NOTHING, Extras, Lease, NewTask, Policy, State, Task, TaskError, Unique
from angelica.domain.usage import Usage
from angelica.errors import AngelicaError
from angelica.storage.protocol import (
    Beat,
    Claim,
    Control,
    Exchanged,
    LogLine,
    Note,
    Request,
    Storage,
    TaskFilter,
    Topic,
)
from tests.storage.world import LEASE, START, worker_info

NAMES = [f"t{n:02}" for n in range(30)]
FUNCTIONS = ["f", "g", "mail.send"]
QUEUES = ["default", "q1", "q2"]
WORKERS = ["w1", "w2"]
KINDS = ["async", "thread"]
REQUIRES: list[dict[str, str]] = [{"gpu": "true"}, {"zone": "a"}, {"gpu": "true", "zone": "a"}]
OFFERS = [{}, {"gpu": "true"}, {"zone": "a", "gpu": "true"}, {"zone": "b"}]
RESOURCES: list[dict[str, float]] = [{"cpu": 1.0}, {"cpu": 2.0, "memory": 1 << 30}, {"memory": 3 << 30}]
SPACES = [
    Space(Capacity(2.0, 2 << 30)),
    Space(Capacity(4.0, 4 << 30), Amount(2000, 1 << 30)),
    Space(Capacity(4.0, 0), slots={"async": 1, "thread": 2}),
]
KNOWN = [(), ("f",), ("f", "g", "mail.send")]
CONTROLS: list[Control] = ["run", "drain", "stop"]
ERROR = TaskError("exception", "ValueError", "bad", "stack", "print", 1)
USAGE = Usage(1.25, 64 << 20, "cgroup v2")
POLICIES = [Policy(), Policy(retries=0, max_crashes=0, retention=SECOND), Policy(retention=0)]
OUTCOMES: list[Callable[[int], Outcome]] = [
    lambda wall: Succeeded('"ok"'),
    lambda wall: Succeeded(),
    lambda wall: Succeeded("1", usage=USAGE),
    lambda wall: Failed(ERROR, usage=USAGE),
    lambda wall: Cancelled("cancelled", "asked", usage=Usage(0.5, None, "wait4")),
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


def mostly(usual: Any, *others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The usual value three times in four."""
    return st.integers(0, 3).flatmap(lambda n: st.one_of(*others) if n == 3 else st.just(usual))


uniques = mostly(
    None,
    st.builds(
        Unique,
        st.sampled_from(["k1", "k2"]),
        st.sampled_from(["live", "retained"]),
        st.sampled_from(["return", "reject"]),
    ),
)
extras = st.builds(
    Extras,
    labels=st.sampled_from([{}, {"team": "x"}, {"team": "y", "k": ""}]),
    digest=mostly(None, st.sampled_from(["d1", "d2"])),
    parent_id=mostly(None, st.just(NAMES[0])),
    retry_of=mostly(None, st.just(NAMES[1])),
    requires=mostly({}, st.sampled_from(REQUIRES)),
    resources=mostly({}, st.sampled_from(RESOURCES)),
)
tasks = st.builds(
    NewTask,
    id=st.sampled_from(NAMES),
    function=st.sampled_from(FUNCTIONS),
    payload=st.just("{}"),
    run_at=mostly(START, moments()),
    created_at=st.integers(START, START + 3),
    policy=mostly(POLICIES[0], st.sampled_from(POLICIES)),
    queue=st.sampled_from(QUEUES),
    executor=mostly("async", st.just("thread")),
    priority=mostly(0, st.sampled_from([-1, 1, 7])),
    unique=uniques,
    expires_at=mostly(None, moments()),
    deadline=mostly(None, moments(START + MINUTE)),
    extras=mostly(NO_EXTRAS, extras),
)
plain_tasks = st.builds(
    NewTask,
    id=st.sampled_from(NAMES),
    function=st.sampled_from(FUNCTIONS),
    payload=st.just("{}"),
    run_at=moments(),
    created_at=st.just(START),
    queue=st.sampled_from(QUEUES),
    priority=st.sampled_from([0, 1]),
)
routed_tasks = st.builds(
    NewTask,
    id=st.sampled_from(NAMES),
    function=st.sampled_from(FUNCTIONS),
    payload=st.just("{}"),
    run_at=moments(),
    created_at=st.just(START),
    queue=st.sampled_from(QUEUES),
    executor=mostly("async", st.just("thread")),
    priority=mostly(0, st.just(1)),
    expires_at=mostly(None, moments()),
    extras=st.builds(
        Extras,
        requires=mostly({}, st.sampled_from(REQUIRES)),
        labels=mostly({"team": "x"}, st.just({})),
        resources=st.sampled_from([{}, *RESOURCES]),
    ),
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
    """One completion of a task that has been claimed; `pick` says which (see `Player.picked`)."""

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

    def __repr__(self) -> str:
        return f"{self.verb}({', '.join(map(short, self.args))})"


def short(value: Any) -> str:
    """The value as text without what is left at its default: a history that fails is read by people."""
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return f"({', '.join(map(short, value))})"
    if not is_dataclass(value):
        return repr(value)
    parts = [
        f"{part.name}={short(getattr(value, part.name))}"
        for part in fields(value)
        if getattr(value, part.name) != part.default
        and (part.default_factory is MISSING or getattr(value, part.name) != part.default_factory())
    ]
    return f"{type(value).__name__}({', '.join(parts)})"


OPEN_PICKS = 6
picks = st.integers(0, OPEN_PICKS + 1)
ends = st.builds(
    End,
    pick=picks,
    outcome=st.integers(0, len(OUTCOMES) - 1),
    started=st.booleans(),
    expired=mostly(False, st.just(True)),
    then=mostly((), st.lists(tasks, min_size=1, max_size=2).map(tuple)),
    logs=st.integers(0, 2),
)
claims = st.builds(
    Claim,
    worker=mostly("w1", st.just("w2")),
    wanted=st.integers(1, 7) | st.just(0),
    room=mostly((("async", 9), ("thread", 9)), st.permutations([("async", 2), ("thread", 3)]).map(tuple)),
    queues=mostly(None, st.permutations(QUEUES).map(tuple), st.sampled_from([("default",), ("q1", "none"), ()])),
    turn=st.integers(0, 5),
    labels=mostly(OFFERS[2], st.sampled_from(OFFERS)),
    functions=mostly(KNOWN[2], st.sampled_from(KNOWN)),
    select=mostly({}, st.sampled_from([{"team": "x"}, {"team": "y", "k": ""}])),
    space=st.sampled_from([EVERYTHING, *SPACES]),
)
ids = st.lists(st.sampled_from(NAMES), max_size=4).map(tuple)
names = st.sampled_from(["*", "default", "q*", "q1", "f", "mail*", "mail.send"])
filters = st.builds(
    TaskFilter,
    states=mostly(None, st.frozensets(st.sampled_from(list(State)), max_size=3)),
    queues=mostly((), st.lists(names, max_size=2).map(tuple)),
    functions=mostly((), st.lists(names, max_size=2).map(tuple)),
    labels=mostly({}, st.sampled_from([{"team": "x"}, {"team": "y", "k": ""}])),
    created_after=mostly(None, st.integers(START, START + 3)),
    created_before=mostly(None, st.integers(START, START + 3)),
    held=mostly(None, st.booleans()),
    retrying=mostly(None, st.booleans()),
    parent_id=mostly(None, st.just(NAMES[0])),
    retry_of=mostly(None, st.just(NAMES[1])),
    worker=mostly(None, st.sampled_from(WORKERS)),
)


def op(verb: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[Op]:
    return st.builds(Op, st.just(verb), st.tuples(*args))


def batches(of: st.SearchStrategy[NewTask], size: int) -> st.SearchStrategy[tuple[NewTask, ...]]:
    return st.lists(of, min_size=1, max_size=size).map(tuple)


ANSWERS: dict[str, st.SearchStrategy[Op]] = {
    "submit": op("submit", batches(tasks, 6), mostly(None, requests), mostly(False, st.just(True))),
    "submit routed": op("submit", batches(routed_tasks, 6), st.none(), st.just(False)),
    "submit plain": op("submit", batches(plain_tasks, 8), st.none(), st.just(False)),
    "submit nothing": op("submit", st.just(()), st.none(), st.booleans()),
    "exchange": op("exchange", st.lists(ends, min_size=1, max_size=5).map(tuple), mostly(None, claims)),
    "exchange and claim": op("exchange", st.lists(ends, max_size=4).map(tuple), claims),
    "claim": op("claim", claims),
    "beat": op(
        "beat",
        mostly("w1", st.just("w2")),
        st.lists(picks, max_size=6).map(tuple),
        st.sampled_from(KNOWN),
        mostly({}, st.sampled_from(OFFERS)),
        st.sampled_from([UNBOUNDED, *[space.capacity for space in SPACES]]),
    ),
    "park": op("park", mostly(1000, st.sampled_from([1, 2]))),
    "end worker": op("end_worker", st.sampled_from(WORKERS)),
    "control": op(
        "control", st.lists(st.sampled_from(["w1", "w2", "w3"]), max_size=3).map(tuple), st.sampled_from(CONTROLS)
    ),
    "promote": op("promote", mostly(1000, st.sampled_from([1, 2]))),
    "sweep": op("sweep"),
    "cancel": op("cancel", ids, st.sampled_from(["cancelled", "enough"])),
    "stop": op("stop", picks),
    "delete": op("delete", ids),
    "prune": op("prune", mostly(1000, st.just(1))),
    "logs": op("logs", st.lists(st.tuples(picks, st.integers(1, 4)), max_size=4).map(tuple)),
    "notes": op(
        "notes", st.lists(st.tuples(picks, st.none() | st.just("1"), st.none() | st.just("2")), max_size=3).map(tuple)
    ),
    "find": op("find", filters, st.sampled_from([1, 2, 50]), st.booleans()),
    "ahead": op("ahead", st.sampled_from(NAMES), mostly(10_000, st.just(1))),
    "advance": op("advance", mostly(SECOND, st.sampled_from([1, LEASE, MINUTE, DAY]))),
    "reboot": op("reboot"),
}
WEIGHTS = {
    "submit": 3,
    "submit plain": 2,
    "exchange": 5,
    "exchange and claim": 5,
    "claim": 5,
    "beat": 2,
    "stop": 2,
    "advance": 3,
    "park": 2,
    "promote": 2,
}
operations = st.sampled_from([name for name in ANSWERS for _ in range(WEIGHTS.get(name, 1))]).flatmap(
    ANSWERS.__getitem__
)


def histories(length: int) -> st.SearchStrategy[list[Op]]:
    """Histories of up to `length` operations, most of them about that long; each begins with work to do."""
    some = st.lists(plain_tasks, min_size=4, max_size=9).map(tuple)
    begin = st.tuples(op("submit", some, st.none(), st.just(False)), op("claim", claims))
    rest = st.lists(operations, min_size=length * 2 // 3, max_size=length)
    return st.builds(lambda first, then: [*first, *then], begin, rest)


class Player:
    """Plays operations on one storage. Whatever it answers is noted in a form in which two storages can be compared."""

    def __init__(self, storage: Storage, clock: ManualClock, run: Callable[..., Any]) -> None:
        self.storage = storage
        self.clock = clock
        self.run = run
        self.claimed: list[Task] = []
        self.open: list[Task] = []
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
        """Most picks are of claims that no accepted completion has ended yet; the last two are of any claim."""
        among = self.open if pick < OPEN_PICKS and self.open else self.claimed
        return among[-1 - pick % len(among)] if among else None

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
        ended = {end.lease for end, accepted in zip(done, reply.accepted, strict=True) if accepted}
        self.claimed += reply.claimed
        self.open = [task for task in (*self.open, *reply.claimed) if task.lease not in ended]
        return self._plain(reply)

    def beat(
        self,
        worker: str,
        held: Sequence[int],
        functions: tuple[str, ...],
        labels: Mapping[str, str] = NOTHING,
        capacity: Capacity = UNBOUNDED,
    ) -> Any:
        now = self.clock.now()
        believed = [task for task in map(self.picked, held) if task is not None]
        leases: tuple[Lease, ...] = tuple(task.lease for task in believed)
        started = tuple((task.id, task.attempt, now.wall) for task in believed)
        info = worker_info(worker, boot=now.boot, functions=functions)
        info = replace(info, labels=dict(labels), cpu=capacity.cpu, memory=capacity.memory)
        beat = Beat(info, now.tick + LEASE, now.wall, leases, started)
        reply = self.run(self.storage.heartbeat(beat, now=now, limit=2))
        strays = sorted(map(_as_compared, reply.strays), key=lambda task: task.id)
        more = self.run(self.storage.free_held(info, limit=1)) if reply.more else 0
        return reply.lost, sorted(reply.cancel), strays, reply.control, reply.more, more

    def end_worker(self, worker: str) -> Any:
        return self.run(self.storage.end_worker(worker, now=self.clock.now()))

    def park(self, limit: int) -> Any:
        return self.run(self.storage.park_unmet(now=self.clock.now(), limit=limit))

    def control(self, workers: Sequence[str], control: Control) -> Any:
        return self.run(self.storage.control_workers(workers, control, now=self.clock.now()))

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

    def stop(self, pick: int) -> Any:
        task = self.picked(pick)
        return None if task is None else self.cancel([task.id], "stop")

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
                "held": await storage.count_held(),
                "recent": await storage.recent_attempts("f", limit=5, among=8),
            }

        return self.run(read())

    def _line(self, task: Task, seq: int) -> LogLine:
        return LogLine(task.id, task.attempt, seq, START, "log", "info", "x", f"line {seq}")

    def _plain(self, reply: Exchanged) -> Any:
        claimed, lapsed = [[_as_compared(task) for task in tasks] for tasks in (reply.claimed, reply.lapsed)]
        return reply.accepted, claimed, lapsed, reply.kept


def ids_of(found: Sequence[Task]) -> list[str]:
    return [task.id for task in found]


def _as_compared(task: Task) -> Task:
    """Without the revision: it only has to grow."""
    return replace(task, revision=0)
