"""A storage, a clock that is moved by hand and one event loop, with short words for what tests do to tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from angelica.clock import SECOND, ManualClock, Now
from angelica.domain.lifecycle import Completion, complete
from angelica.domain.outcome import Outcome, Succeeded
from angelica.domain.placement import EVERYTHING, Space
from angelica.domain.task import EXECUTORS, Extras, Lease, NewTask, Policy, Task
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.protocol import (
    Beat,
    BeatReply,
    CancelStatus,
    Claim,
    Enqueued,
    Exchanged,
    LimitPut,
    LogLine,
    Request,
    Storage,
    Submitted,
    TaskFilter,
    WorkerInfo,
)
from angelica.storage.rows import from_json

T = TypeVar("T")
START = ManualClock().now().wall
LEASE = 15 * SECOND
RARE = ("labels", "digest", "parent_id", "retry_of", "headers", "requires", "limits", "uses", "latency", "resources")


def new(task_id: str, function: str = "f", /, **parts: Any) -> NewTask:
    """A task that is due at once; what is `RARE` goes to its extras."""
    rare = {k: parts.pop(k) for k in RARE if k in parts}
    fields = {"payload": '{"args":[],"kwargs":{}}', "run_at": START, "created_at": START, **parts}
    return NewTask(task_id, function, **fields, extras=Extras(**rare))


def worker_info(name: str = "w1", *, boot: str = "boot-0", functions: tuple[str, ...] = ()) -> WorkerInfo:
    return WorkerInfo(
        id=name,
        host="h",
        boot=boot,
        pid=1,
        pid_started=1,
        version="0",
        started_at=START,
        slots=10,
        functions=functions,
        place="here",
    )


async def prove(storage: Storage) -> None:
    """Fail if a store has put a row where its indexes or batches do not find it."""
    if isinstance(storage, PostgresStorage) and storage._loops:  # else it has been closed
        found = from_json(await storage._read(lambda db: db.value("misplaced")))
        assert not any(found.values()), found


def line(task: Task, seq: int, message: str = "text") -> LogLine:
    return LogLine(task.id, task.attempt, seq, START + seq, "log", "info", "test", message)


def ids(tasks: Sequence[Task]) -> list[str]:
    return [task.id for task in tasks]


class World:
    """Each call is awaited to its end on the world's own loop."""

    def __init__(self, storage: Storage, clock: ManualClock) -> None:
        self.storage = storage
        self.clock = clock
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self.run(self.storage.open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self.storage.close())
        self._runner.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def prove(self) -> None:
        """Fail if the store has put a row where its indexes or batches do not find it."""
        self.run(prove(self.storage))

    @property
    def now(self) -> Now:
        return self.clock.now()

    def submit(self, *tasks: NewTask, request: Request | None = None, atomic: bool = False) -> Enqueued:
        return self.run(self.storage.enqueue_many(tasks, now=self.now, request=request, atomic=atomic))

    def submit_one(self, task: NewTask) -> Submitted:
        return self.submit(task).items[0]

    def exchange(
        self, ends: Sequence[Completion] = (), claim: Claim | None = None, journal: Sequence[LogLine] = ()
    ) -> Exchanged:
        return self.run(self.storage.exchange(ends, claim, now=self.now, journal=journal))

    def claim(
        self,
        wanted: int = 100,
        *,
        room: tuple[tuple[str, int], ...] | None = None,
        queues: tuple[str, ...] | None = None,
        worker: str = "w1",
        turn: int = 0,
        labels: Mapping[str, str] | None = None,
        functions: tuple[str, ...] = (),
        select: Mapping[str, str] | None = None,
        space: Space = EVERYTHING,
    ) -> tuple[Task, ...]:
        slots = tuple((kind, wanted) for kind in EXECUTORS) if room is None else room
        claim = Claim(worker, wanted, slots, queues, turn, labels or {}, functions, select or {}, space)
        return self.exchange(claim=claim).claimed

    def start(self, task_id: str, /, *, worker: str = "w1", **parts: Any) -> Task:
        """Submit one task and claim it (nothing else may be ready)."""
        self.submit(new(task_id, **parts))
        (task,) = self.claim(worker=worker)
        assert task.id == task_id
        return task

    def start_in(self, task_id: str, queue: str, /, *, worker: str = "w1", **parts: Any) -> Task:
        """Submit one task and claim from its queue alone."""
        self.submit(new(task_id, queue=queue, **parts))
        (task,) = self.claim(worker=worker, queues=(queue,))
        assert task.id == task_id
        return task

    def completion(self, task: Task, outcome: Outcome | None = None, **parts: Any) -> Completion:
        return complete(task, outcome or Succeeded(), now=self.now, chance=0.0, **parts)

    def end(self, task: Task, outcome: Outcome | None = None, **parts: Any) -> bool:
        return self.exchange([self.completion(task, outcome, **parts)]).accepted[0]

    def get(self, task_id: str) -> Task:
        (task,) = self.run(self.storage.get_tasks([task_id]))
        assert task is not None, task_id
        return task

    def find(self, task_id: str) -> Task | None:
        return self.run(self.storage.get_tasks([task_id]))[0]

    def beat(
        self,
        worker: str = "w1",
        *,
        held: Sequence[Lease] = (),
        started: Sequence[tuple[str, int, int]] = (),
        boot: str | None = None,
        functions: tuple[str, ...] = (),
        labels: Mapping[str, str] | None = None,
        limit: int = 1_000,
    ) -> BeatReply:
        now = self.now
        info = replace(worker_info(worker, boot=boot or now.boot, functions=functions), labels=labels or {})
        return self.run(
            self.storage.heartbeat(
                Beat(info, now.tick + LEASE, now.wall, tuple(held), tuple(started)), now=now, limit=limit
            )
        )

    def cancel(self, *task_ids: str, reason: str = "cancelled") -> tuple[CancelStatus, ...]:
        return self.run(self.storage.cancel_many(task_ids, reason=reason, now=self.now))

    def limit(self, gate: str, /, *, by: str = "", **changes: Any) -> None:
        """Set what an operator can set at a gate."""
        self.run(self.storage.put_limits([LimitPut(gate, changes=changes, by=by)], now=self.now))

    def declare(self, gate: str, /, **settings: Any) -> None:
        """Set what code declares of a gate."""
        self.run(self.storage.put_limits([LimitPut(gate, declared=settings)], now=self.now))

    def gates(self) -> dict[str, int]:
        """How many run at each gate."""
        return {row.gate: row.running for row in self.run(self.storage.list_limits())}

    def expired(self) -> list[str]:
        return ids(self.run(self.storage.expired(now=self.now)))

    def found(self, **where: Any) -> list[str]:
        """Ids of the tasks that match, oldest first."""
        return ids(self.run(self.storage.list_tasks(TaskFilter(**where), newest_first=False, limit=1000)).items)

    def counts(self) -> dict[tuple[str, str], int]:
        found = self.run(self.storage.counts())
        return {(queue, state.value): n for (queue, state), n in found.items() if n}


__all__ = ["LEASE", "START", "Policy", "World", "ids", "line", "new", "worker_info"]
