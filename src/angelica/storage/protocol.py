"""The storage protocol and its laws: narrow protocols, one call = one transaction.

Laws, each a contract test on every adapter:

1. Atomic: one call is one transaction; nothing is half done; no transaction object leaks out.
2. Order: replies answer the arguments position by position; a batch acts as its items would one by one.
3. Fence: a completion, note or log line applies only to a running task with that attempt (a sweep: only while the
   holder's lease is still past its time); else it is stale and writes nothing, follow-ups included.
4. Monotonic: an attempt number never repeats.
5. Order of claim: effective priority level, then `run_at`, then id, strict inside a queue and lane (`domain.claims`
   says it exactly), as far as limits let them (`LimitStore`) and as far as they fit (`domain.placement`).
6. Cancel wins over a retry and loses to an end.
7. One firing: a firing applies only while the schedule's `next_fire_at` and `version` are as it saw them, a fire is
   unique by (schedule, fire time), and its task and the new `next_fire_at` are written in the same transaction.
8. Safe to repeat after an unknown outcome: ids are made by the caller, writes are fenced; a lost claim reply comes
   back as `strays` in the heartbeat's reply.
9. Writers ring: a write that makes work ready, or ends tasks, wakes `wait` after it commits.
10. Time is an argument; `time` is the storage's own clock.
11. Any thread, any event loop: every coroutine may be awaited from any running loop in the process.

Every adapter raises `StorageUnavailable` when it cannot do its work now (nothing was written, or the outcome is
unknown and repeating is safe), and no driver's own exception.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from angelica.clock import Now
from angelica.domain.breaker import Breaker, Circuit
from angelica.domain.fence import Fence
from angelica.domain.lanes import Offer
from angelica.domain.lifecycle import Completion
from angelica.domain.limits import EMPTY, Bucket
from angelica.domain.placement import EVERYTHING, Late, Space
from angelica.domain.resources import Capacity
from angelica.domain.schedule import FireRecord, Firing, Phase, Schedule, Unfinished
from angelica.domain.task import Attempt, Lease, NewTask, State, Task, nothing


class Topic(StrEnum):
    """What a wake-up may be about."""

    READY = "ready"
    """New work can be claimed."""
    ENDED = "ended"
    """Tasks have ended."""
    DUE = "due"
    """A task was stored for later; the earliest due moment may have changed."""
    SCHEDULES = "schedules"
    """A schedule was made, changed or removed."""
    CONTROL = "control"
    """A running task was asked to stop, or a worker to do something else."""


Control = Literal["run", "drain", "stop"]
"""What a worker is to do: claim and run; claim no more and stay; end as on SIGTERM. A stop cannot be taken back."""

ControlStatus = Literal["done", "stopping", "missing"]

SubmitStatus = Literal["created", "existing", "id_conflict", "unique_conflict", "aborted"]


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of one submitted task.

    `created`: it is stored under `task_id`. `existing`: the same id with the same digest, or the same unique key
    with `on_conflict="return"`; `task_id` is the standing task. `id_conflict`, `unique_conflict`: refused;
    `task_id` is the standing task. `aborted`: not written because another item of an atomic batch was refused.
    """

    task_id: str
    status: SubmitStatus


@dataclass(frozen=True, slots=True)
class Request:
    """An Idempotency-Key with the request it stands for. `digest` is the SHA-256 of the canonical body."""

    principal: str
    key: str
    route: str
    digest: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Enqueued:
    """Replies position by position; `replayed` if a stored request was answered instead of written."""

    items: tuple[Submitted, ...]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker can take.

    `queues` None means every queue (in order of name). `room` is the number of free slots by executor kind, `wanted`
    the total; lanes of a kind share its room. `turn` rotates the order of the queues, so that none is served first for
    ever. `labels` and `functions` are what the worker has: it sees no lane that needs more (`domain.lanes`). With
    `select` only tasks count that have these labels themselves; the storage looks at every ready one for that.
    `space` is what the worker gives to tasks that say what they need: of those it gets what fits into it now.
    """

    worker: str
    wanted: int
    room: tuple[tuple[str, int], ...]
    queues: tuple[str, ...] | None = None
    turn: int = 0
    labels: Mapping[str, str] = field(default_factory=nothing)
    functions: Collection[str] = ()
    select: Mapping[str, str] = field(default_factory=nothing)
    space: Space = EVERYTHING

    @property
    def offer(self) -> Offer:
        """What the worker has."""
        return Offer(self.labels, self.functions, self.space.capacity)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One captured line of one attempt.

    `seq` counts from 1 within the attempt and is the cursor of a reader; `at` is microseconds since the epoch;
    `stream` is `log`, `stdout`, `stderr` or `note` (written by the engine, e.g. how many lines were dropped).
    """

    task_id: str
    attempt: int
    seq: int
    at: int
    stream: str
    level: str
    logger: str
    message: str


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint or progress of a running attempt; JSON texts, None = leave as it is."""

    task_id: str
    attempt: int
    checkpoint: str | None = None
    progress: str | None = None


@dataclass(frozen=True, slots=True)
class Exchanged:
    """`accepted[i]` answers `ends[i]`; `claimed` are the tasks now held; `lapsed` were ended at the claim.

    `lapsed` tasks are those past `expires_at` or `deadline`, as they stand after the call (state cancelled). `gated`:
    some of the claimed count at a limit or as their tenant's, so what waits at the worker keeps others from it.
    `kept`: for what the worker keeps itself free (`domain.placement`), where it did not get that.
    """

    accepted: tuple[bool, ...]
    claimed: tuple[Task, ...] = ()
    lapsed: tuple[Task, ...] = ()
    gated: bool = False
    kept: Late | None = None


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as it registers.

    `boot` is that of the clock its lease is judged by. `place` is where its pid means something (one boot of one
    kernel, one namespace of pids), and `pid_started` tells a reused pid from the same process. `capacity` is its slots
    by executor. `heeds` is what it does now of what was asked of it (`control`), None for one that knows no such thing.
    `cpu` (CPUs) and `memory` (bytes) are what it gives to tasks that say what they need, 0 of one that does not look.
    `kept` is for what it keeps itself free, as of its last claim before the beat.
    """

    id: str
    host: str
    boot: str
    pid: int
    pid_started: int
    version: str
    started_at: int
    slots: int
    queues: tuple[str, ...] | None = None
    functions: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=nothing)
    start_file: str | None = None
    place: str = ""
    capacity: Mapping[str, int] = field(default_factory=nothing)
    select: Mapping[str, str] = field(default_factory=nothing)
    heeds: Control | None = None
    cpu: float = 0.0
    memory: int = 0
    kept: Late | None = None

    @property
    def offer(self) -> Offer:
        """What it has."""
        return Offer(self.labels, self.functions, Capacity(self.cpu, self.memory), tuple(self.capacity))


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat: who, until when (`lease_until` tick of the store's clock), what is held and what has begun.

    `held` are the leases that the worker believes it has; `started` are those whose handler has begun since the
    last beat, with the wall moment. `seen_at` is the wall clock.
    """

    worker: WorkerInfo
    lease_until: int
    seen_at: int
    held: tuple[Lease, ...] = ()
    started: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class BeatReply:
    """`lost`: held by the worker in vain; `cancel`: running tasks whose cancel was requested, with the reason.

    `strays`: running under this worker's name but not in `held` (a claim whose reply was lost). `control`: what this
    worker is to do. `more`: as many as may be were freed, and others may be left (`free_held`).
    """

    lost: tuple[Lease, ...] = ()
    cancel: tuple[tuple[str, str], ...] = ()
    strays: tuple[Task, ...] = ()
    control: Control = "run"
    more: bool = False


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A registered worker as the store knows it."""

    info: WorkerInfo
    lease_until: int
    seen_at: int
    running: int = 0
    control: Control = "run"


@dataclass(frozen=True, slots=True)
class Promoted:
    """How many were promoted, and when the next one is due (microseconds since the epoch, None if none)."""

    count: int
    next_due: int | None


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """A registered function: its JSON Schema and its defaults, both as JSON texts, and when code last declared it."""

    name: str
    version: int
    executor: str
    schema: str
    defaults: str
    doc: str
    seen_at: int


@dataclass(frozen=True, slots=True)
class LimitPut:
    """One change of what holds at a gate (`domain.gates`).

    `declared` is all that code says of it, None to leave that part as it is. `changes` are fields that an operator
    sets (`max_running`, `rate`, and for a queue `paused`, `max_depth`, `ageing`, with a `reason`), None to take one
    back; `by` is who it was. What an operator has set goes before what is declared.
    """

    gate: str
    declared: Mapping[str, Any] | None = None
    changes: Mapping[str, Any] | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A gate: what code declares, what an operator has set (with `by`, `at`, `reason`), and what passes it now."""

    gate: str
    declared: Mapping[str, Any] = field(default_factory=nothing)
    override: Mapping[str, Any] = field(default_factory=nothing)
    running: int = 0
    bucket: Bucket = EMPTY


@dataclass(frozen=True, slots=True)
class Relieved:
    """How many held tasks were freed, and when a rate lets the next one through (None: no rate keeps any)."""

    count: int
    next_at: int | None


@dataclass(frozen=True, slots=True)
class BreakerRow:
    """A breaker as the store knows it, and how many tasks it holds (10,000 at most are counted by some)."""

    name: str
    breaker: Breaker
    held: int = 0


CancelStatus = Literal["cancelled", "requested", "finished", "missing"]


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks: every given part must match. `functions` and `queues` take `*` at the end as a prefix match."""

    states: frozenset[State] | None = None
    queues: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=nothing)
    created_after: int | None = None
    created_before: int | None = None
    held: bool | None = None
    retrying: bool | None = None
    parent_id: str | None = None
    retry_of: str | None = None
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class TaskPage:
    """One page in order of (`created_at`, id); `next` is the cursor of the following page."""

    items: tuple[Task, ...]
    next: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class StoreWarning:
    """Something about a store that works, but not for ever so: what it is, and what to do about it.

    `about` is one word for the matter; `grave` means that data may be lost.
    """

    about: str
    text: str
    fix: str
    grave: bool = False


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What `db status` and `/health` show of a storage: free-form `detail` and `warnings` next to the fixed parts."""

    kind: str
    url: str
    schema_version: int
    detail: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[StoreWarning, ...] = ()


class TaskStore(Protocol):
    """Submitting, claiming, ending."""

    async def enqueue_many(
        self, tasks: Sequence[NewTask], *, now: Now, request: Request | None = None, atomic: bool = False
    ) -> Enqueued:
        """Store tasks: `queued` if due, else `scheduled`.

        A standing `request` with the same digest answers its stored items (`replayed`); with another digest or
        route raises `IdempotencyMismatch`. With `atomic`, one refused item leaves all unwritten.
        """
        ...

    async def exchange(
        self, ends: Sequence[Completion], claim: Claim | None, *, now: Now, journal: Sequence[LogLine] = ()
    ) -> Exchanged:
        """Write log lines, then the completions of what ended, then claim what fits, in one transaction."""
        ...

    async def heartbeat(self, beat: Beat, *, now: Now, limit: int = 1000) -> BeatReply:
        """Register or renew a worker and compare what it holds with the store.

        A worker that is to run frees what was held for want of one like it, as `free_held` does. `started_at` is
        written for `started`.
        """
        ...

    async def free_held(self, worker: WorkerInfo, *, limit: int = 1000) -> int:
        """Free what was held for want of a worker like this one; return how many, `limit` if others may be left.

        First `unknown_function` rows of its functions, by function and id (from then on only workers that know the
        function see them: `domain.lanes.known_lane`), then `no_capable_worker` rows of lanes that it may take, by lane
        and id, then `no_worker_fits` rows likewise.
        """
        ...

    async def end_worker(self, worker: str, *, now: Now) -> int:
        """Void the lease of a worker that is known to be dead or gone; return how many tasks it still holds.

        Its tasks are then `expired`. A worker without tasks is removed.
        """
        ...

    async def promote_due(self, *, now: Now, limit: int = 1000) -> Promoted:
        """Move scheduled tasks that are due to `queued`, oldest first."""
        ...

    async def expired(self, *, now: Now, limit: int = 1000) -> tuple[Task, ...]:
        """Return running tasks whose worker's lease is past `now.tick`, is of another boot of its host, or is gone."""
        ...

    async def park_unmet(self, *, now: Now, limit: int = 1000) -> int:
        """Hold ready rows of lanes that need more than any live worker has which is to run (`domain.lanes.unmet`).

        At most `limit`, by queue and lane, then priority (higher first), `run_at` and id; returns how many.
        """
        ...

    async def cancel_many(self, task_ids: Sequence[str], *, reason: str, now: Now) -> tuple[CancelStatus, ...]:
        """Cancel: a task that has not started ends `cancelled`, a running one gets `cancel_requested`."""
        ...

    async def delete_tasks(self, task_ids: Sequence[str]) -> tuple[bool, ...]:
        """Delete ended tasks with their logs and attempts; False for one that is not ended or not there."""
        ...

    async def prune(self, *, now: Now, limit: int = 1000) -> int:
        """Delete what has been kept long enough; return how much of what there was most of (`limit`: call again).

        That is ended tasks past `retain_until`, old requests, workers gone for a day, fire records past their time,
        and completed schedules past `delete_after` without unfinished runs. Tasks or fire records are counted. Tenants
        of fair queues who were not served for a day are forgotten, those among the next `limit` of all of them.
        """
        ...


PutStatus = Literal["created", "updated", "unchanged", "exists", "stale", "missing", "deleted"]


@dataclass(frozen=True, slots=True)
class SchedulePut:
    """One write of a schedule.

    `expect`: `new` (refused as `exists` if one stands), a version (refused as `stale` on another, `missing` if none
    stands), or None (upsert). `unless_deleted`: a tombstone that an operator left refuses it as `deleted`.
    `seen` is the schedule as it was read: if it has fired or been settled since (`next_fire_at`, `last_fire_at`,
    `runs`, `streak` or `phase` is another), the put is `stale`; read again and put again. In any case a put takes
    neither `last_fire_at` nor `runs` back: the greater of the stored and the given stands.
    """

    schedule: Schedule
    expect: Literal["new"] | int | None = None
    unless_deleted: bool = False
    seen: Schedule | None = None


@dataclass(frozen=True, slots=True)
class ScheduleFilter:
    """Which schedules: every given part must match; `functions` take `*` at the end.

    `source` is the code that declares them (`domain.schedule.SOURCE`); it is found without looking at others.
    `timed_by_other` are those whose next fire was computed by another edition of the zone data than this.
    """

    phases: frozenset[Phase] | None = None
    functions: tuple[str, ...] = ()
    owner: str | None = None
    prefix: str = ""
    source: str | None = None
    timed_by_other: str | None = None


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """One page in order of id; `next` is the id to go on after."""

    items: tuple[Schedule, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A due schedule with the runs of it that have not ended, as far as its overlap policy looks at them.

    None where it allows any number of them; else the newest thousand and one, and all where `max_running` is larger.
    So a schedule whose runs pile up, because no worker takes them, does not make each tick dearer.
    """

    schedule: Schedule
    unfinished: Unfinished


class ScheduleStore(Protocol):
    """Schedules, their fires and their runs.

    A run is a task with `extras.schedule_id`, however it came; it is unfinished until it ends. Whatever verb ends one
    does, in the same transaction: runs that wait on an ended one, the oldest first, go on (the first becomes ready if
    no unfinished run of the schedule but waiting ones is left, each other one waits on the latest that is not
    waiting); and `domain.fire.settle` is applied to the schedule if it stands.
    """

    async def put_schedules(self, puts: Sequence[SchedulePut], *, now: Now) -> tuple[PutStatus, ...]:
        """Write definitions as if one by one; rings `Topic.SCHEDULES`.

        A put that changes nothing but `seen_at` and `updated_at` is `unchanged`: `seen_at` alone is written.
        """
        ...

    async def delete_schedules(self, ids: Sequence[str], *, now: Now, tombstone: bool = True) -> tuple[bool, ...]:
        """Delete schedules with their history; False where none stands. Their runs stay, waiting ones go on in turn.

        `tombstone` keeps code from declaring them again.
        """
        ...

    async def due_schedules(self, *, now: Now, limit: int = 500) -> tuple[Due, ...]:
        """Return active schedules with `next_fire_at <= now.wall`, the earliest first."""
        ...

    async def next_fire(self) -> int | None:
        """Return the earliest `next_fire_at` of an active schedule: one index probe."""
        ...

    async def fire_many(self, firings: Sequence[Firing], *, now: Now) -> tuple[bool, ...]:
        """Write firings; False where the schedule has moved on (nothing of that firing is written).

        In one transaction: the fire rows (unique by schedule and fire time: a fire that stands is not run again), the
        tasks of the new ones (`waiting` on `after` where set), the spans (one that goes on where the latest record
        ends in the same reason makes that one longer), the cancels, and the schedule's new `next_fire_at`,
        `last_fire_at`, `runs`, `phase`; a resume also clears `paused_at` and `streak`. Raises neither the version nor
        anything a definition has. A fire at or before the stored `last_fire_at` stands, even where its record has
        been pruned.
        """
        ...

    async def record_fires(
        self,
        records: Sequence[FireRecord],
        tasks: Sequence[NewTask],
        *,
        now: Now,
        after: Sequence[str | None] | None = None,
        force: bool = False,
    ) -> tuple[bool, ...]:
        """Write manual and backfilled runs with their tasks; False where a fire of that time stands already.

        Position by position, as the items would one by one. A manual run, and with `force` a backfilled one, has a
        record of its own and is never refused. One that stands with the same task is answered True again (law 8).
        `after[i]` names the run that run i waits for (as `Fire.after`): if that has ended or is not there, it waits
        on the latest unfinished run of the schedule that is not waiting itself, and is ready if there is none.
        """
        ...

    async def get_schedules(self, ids: Sequence[str]) -> tuple[Schedule | None, ...]: ...

    async def list_schedules(
        self, where: ScheduleFilter, *, limit: int = 50, after: str | None = None
    ) -> SchedulePage: ...

    async def unfinished_runs(self, schedule_id: str) -> Unfinished: ...

    async def read_fires(
        self, schedule_id: str, *, before: int | None = None, limit: int = 100
    ) -> tuple[FireRecord, ...]:
        """Return fire records, the newest first, with `fire_time` before `before`.

        They are kept for eight days, or for `catchup_window` and a day where that is longer.
        """
        ...

    async def fire_times(self, schedule_id: str, start: int, end: int) -> tuple[int, ...]:
        """Return the fire times in [start, end) that have a record of a scheduled or backfilled run, in order."""
        ...


class JournalStore(Protocol):
    """What a running attempt leaves behind; fenced by its lease."""

    async def append_logs(self, lines: Sequence[LogLine]) -> frozenset[Lease]:
        """Store lines; return the leases that were refused as stale."""
        ...

    async def annotate(self, notes: Sequence[Note]) -> frozenset[Lease]:
        """Store checkpoints and progress; return the leases that were refused as stale."""
        ...


class ControlStore(Protocol):
    """Facts about code, settings and workers."""

    async def put_functions(self, rows: Sequence[FunctionRow]) -> None:
        """Upsert the functions that an engine's code declares."""
        ...

    async def control_workers(self, workers: Sequence[str], control: Control, *, now: Now) -> tuple[ControlStatus, ...]:
        """Write down what registered workers are to do; each reads it in the reply to its next beat.

        Rings `Topic.CONTROL`. `stopping`: a stop stands, and nothing else takes its place.
        """
        ...


class LimitStore(Protocol):
    """Limits: what may run at once and begin in a period, for a queue, a function, or a key.

    A claim takes a task only if all its gates let it through (`domain.gates.gates_of`); each gate that limits anything
    then counts it until its attempt ends, however it ends. What has begun counts for a rate, and is given back where
    the attempt was released. No claim looks beyond the room of a queue. A task that another gate keeps back is held
    under that gate, out of the way of claims. When attempts end, as many are freed as left each gate and as it lets
    through, in the order of claim; a claim that holds tasks at one gate frees as many others at their other gates.
    """

    async def put_limits(self, puts: Sequence[LimitPut], *, now: Now) -> None:
        """Change what holds at gates, and free what now may go on; rings `Topic.READY` where anything changed."""
        ...

    async def delete_limits(self, gates: Sequence[str], *, now: Now) -> tuple[bool, ...]:
        """Take back all that operators have set at gates, and forget the counters; False where nothing was set."""
        ...

    async def relieve(self, *, now: Now, limit: int = 100) -> Relieved:
        """Set right who counts at which gate, then free up to `limit` tasks of each gate as far as it lets them."""
        ...

    async def list_limits(self) -> tuple[LimitRow, ...]:
        """Return all gates that are stored or that count a running task, by name."""
        ...


class BreakerStore(Protocol):
    """Circuit breakers: downstreams that tasks use (`extras.uses`), left alone while they fail (`domain.breaker`).

    In the transaction that writes a completion its `call` is recorded at each breaker of its `uses`, if the fence let
    it through. A claim takes a task only if all its breakers let it through, and the one that a half-open breaker
    lets through is its probe; a task that one keeps back is held under its gate. When a breaker is half open one of
    those it holds is freed, by `relieve` or by the end of the last probe; when it closes, all are.
    """

    async def force_breaker(
        self, name: str, circuit: Circuit | None, *, now: Now, by: str = "", reason: str = ""
    ) -> BreakerRow:
        """Keep a breaker open or closed until told otherwise, or (None) make it as new; frees what may go on."""
        ...

    async def list_breakers(self) -> tuple[BreakerRow, ...]:
        """Return the breakers that anything was recorded or set at, by name."""
        ...


class Reader(Protocol):
    """Reading; never blocks a writer."""

    async def get_tasks(self, task_ids: Sequence[str]) -> tuple[Task | None, ...]: ...

    async def list_tasks(
        self,
        where: TaskFilter,
        *,
        limit: int = 50,
        after: tuple[int, str] | None = None,
        newest_first: bool = True,
    ) -> TaskPage: ...

    async def read_logs(
        self, task_id: str, *, attempt: int | None = None, after: tuple[int, int] = (0, 0), limit: int = 1000
    ) -> tuple[LogLine, ...]:
        """Return lines in order of (attempt, seq) that come after the cursor `after`."""
        ...

    async def read_attempts(self, task_id: str) -> tuple[Attempt, ...]: ...

    async def recent_attempts(self, function: str, *, limit: int = 200, among: int = 10_000) -> tuple[Attempt, ...]:
        """Return the latest attempts of a function that had begun, of tasks that have ended; the latest end first.

        One that succeeded has the outcome `succeeded`. They are those of at most `limit` tasks, the latest that ended:
        first of those that were measured (`usage`), which are found at once; where these are fewer, also of those that
        were not and are `among` so many tasks of the store that came last.
        """
        ...

    async def list_functions(self) -> tuple[FunctionRow, ...]: ...

    async def list_workers(self) -> tuple[WorkerRow, ...]: ...

    async def counts(self) -> Mapping[tuple[str, State], int]:
        """Return how many tasks stand in each (queue, state); zero counts may be left out."""
        ...

    async def count_held(self, *, limit: int = 10_000) -> Mapping[tuple[str, str], int]:
        """Return how many tasks each (rule, function) holds back, each counted up to `limit`."""
        ...

    async def count_ahead(self, task: Task, *, limit: int = 10_000) -> int:
        """Return how many ready tasks of its queue and lane come before it by priority, `run_at`, id."""
        ...


class Wakeups(Protocol):
    """Hints: a lost one costs latency, never correctness."""

    def mark(self, topic: Topic) -> int:
        """Return the current count of rings of a topic; take it before you look, then `wait` from it."""
        ...

    async def wait(self, topic: Topic, since: int, timeout: float) -> int:
        """Return the count as soon as it exceeds `since`, or when `timeout` seconds have passed."""
        ...


class Joined(Protocol):
    """The store seen from a transaction that a caller has opened on a connection of their own, and will end.

    What is written this way is there for others from the caller's commit on, and never was after a rollback. Nobody
    waits for that transaction to end, however long it stays open, but who submits one of its unique keys or ids.
    No statement fails in it for what may stand in the way of a task. Exceptions of the caller's driver come as they
    are: they are about the caller's transaction.
    """

    @property
    def is_async(self) -> bool:
        """Which of the two ways the connection goes."""
        ...

    def enqueue_many(self, tasks: Sequence[NewTask], *, now: Now, notify: bool) -> Enqueued:
        """Store tasks as `TaskStore.enqueue_many(…, atomic=True)` does; in the thread that has the connection.

        With `notify` other processes are woken after the commit. Raises `InvalidValue` for a connection without an
        open transaction, without this store in its database, or without the rights to write to it.
        """
        ...

    async def aenqueue_many(self, tasks: Sequence[NewTask], *, now: Now, notify: bool) -> Enqueued:
        """Do the same on an async connection, in its event loop."""
        ...


class Storage(
    TaskStore, ScheduleStore, JournalStore, ControlStore, LimitStore, BreakerStore, Reader, Wakeups, Protocol
):
    """Everything, with a life of its own."""

    async def open(self) -> None:
        """Connect and bring the schema up to date (where that is on).

        Raises `SchemaMismatch`, `StoreMoved`, `StorageUnavailable`.
        """
        ...

    async def close(self) -> None:
        """Finish writes that were accepted, release everything; may be called twice."""
        ...

    async def time(self) -> Now:
        """Return the storage's own clock."""
        ...

    async def fence(self) -> Fence | None:
        """Return what a move has made of this store, None for one that is not being moved.

        While a fence shuts writers out every write raises `StorageUnavailable`, and `StoreMoved` once the data is
        elsewhere; opening a store that has moved, or one that is still being filled, raises the same.
        """
        ...

    async def status(self) -> StoreStatus:
        """Return what is known of the storage; raises `StorageUnavailable` if it cannot write."""
        ...

    def join(self, connection: object) -> Joined:
        """Return the way into a caller's own transaction; nothing is asked of the connection yet.

        Raises `NotSupported` where the store can be in no other's transaction, `InvalidValue` for what is no
        connection that is known.
        """
        ...
