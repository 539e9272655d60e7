"""The task: what was asked for (`NewTask`), what is known of it (`Task`), the right to end one attempt (`Lease`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from angelica.domain.lanes import lane_of, tenant_lane
from angelica.domain.retry import Backoff, Exponential
from angelica.domain.usage import Usage

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def nothing() -> Mapping[str, Any]:
    """Return the one empty mapping (as a factory: a dataclass refuses an unhashable default)."""
    return NOTHING


DEFAULT_TIMEOUT: Final = 3_600_000_000
DEFAULT_RETENTION: Final = 7 * 86_400_000_000
PRIORITY_RANGE: Final = (-128, 127)


class State(StrEnum):
    """Where a task stands. The last three are terminal and final."""

    WAITING = "waiting"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL: Final = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

Executor = Literal["async", "thread", "process", "command"]
EXECUTORS: Final[tuple[Executor, ...]] = ("async", "thread", "process", "command")


class Lease(NamedTuple):
    """The right to end one attempt; `attempt` is the fence, since it only grows."""

    task_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Policy:
    """How a task may run and how it ends, snapshotted at submit so that any process can settle it without its code.

    `timeout` (microseconds, None = none) bounds one attempt; `retries` are tries after the first that failed;
    `max_crashes` deaths of its worker are forgiven; `retry_on` names exception types that are retried (empty = all);
    `retention` (microseconds) is how long the ended task is kept.
    """

    timeout: int | None = DEFAULT_TIMEOUT
    retries: int = 3
    max_crashes: int = 3
    backoff: Backoff = field(default_factory=Exponential)
    retry_on: tuple[str, ...] = ()
    retention: int = DEFAULT_RETENTION


DEFAULT_POLICY: Final = Policy()


@dataclass(frozen=True, slots=True)
class Unique:
    """What makes a request "the same again": at most one task of a function with this key.

    `live` holds until the task ends, `retained` until it is pruned. On a conflict the standing task is answered
    (`return`) or the submit is refused (`reject`).
    """

    key: str
    scope: Literal["live", "retained"] = "live"
    on_conflict: Literal["return", "reject"] = "return"


@dataclass(frozen=True, slots=True)
class Extras:
    """The rarer parts of a task, kept together so that a plain task does not pay for them.

    `headers` are carried context (tenant, auth token, traceparent …), `labels` are for filters, `requires` are the
    labels that a worker must have, `extensions` is free JSON that is preserved untouched. `digest` is the SHA-256 of
    the canonical request when the client chose the id. `user_data` of a hook rides in `extensions`. `limits` are the
    limits that it counts towards, each as "name" or "name/key". `uses` are the downstreams that it calls, each with a
    breaker; an attempt that takes longer than `latency` (microseconds) counts as slow there. `tenant` is whose it is
    in a queue that was fair when it was submitted. `resources` is what it needs of a machine: `cpu` in CPUs, `memory`
    in bytes.
    """

    headers: Mapping[str, str] = field(default_factory=nothing)
    labels: Mapping[str, str] = field(default_factory=nothing)
    extensions: Mapping[str, Any] = field(default_factory=nothing)
    created_by: str | None = None
    digest: str | None = None
    parent_id: str | None = None
    retry_of: str | None = None
    schedule_id: str | None = None
    requires: Mapping[str, str] = field(default_factory=nothing)
    limits: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    latency: int | None = None
    tenant: str | None = None
    resources: Mapping[str, float] = field(default_factory=nothing)


NO_EXTRAS: Final = Extras()


@dataclass(frozen=True, slots=True)
class NewTask:
    """One durable request to run a function.

    `payload` is the JSON text `{"args": […], "kwargs": {…}}` (of a command, what `runtime.commands.payload` makes); the
    core never looks inside. `priority` is -128…127,
    higher first. Moments are microseconds since the epoch. `trace_id` is 32 hex digits. `executor` says which kind
    of slot the task needs.
    """

    id: str
    function: str
    payload: str
    run_at: int
    created_at: int
    policy: Policy = DEFAULT_POLICY
    queue: str = "default"
    executor: Executor = "async"
    priority: int = 0
    version: int = 1
    trace_id: str = ""
    unique: Unique | None = None
    expires_at: int | None = None
    deadline: int | None = None
    extras: Extras = NO_EXTRAS

    @property
    def lane(self) -> str:
        """What it needs of a worker, as one text (`domain.lanes`)."""
        extras = self.extras
        if extras is NO_EXTRAS:
            return self.executor
        lane = lane_of(self.executor, extras.requires, extras.resources)
        return lane if extras.tenant is None else tenant_lane(lane, extras.tenant)


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why an attempt ended badly, as text: never rebuilt into a class.

    `reason` is one of `domain.reasons.FAILURES`; `type` and `message` come from the exception (message at most
    4 KiB), `stack` is the traceback without locals (at most 16 KiB), `fingerprint` groups like errors.
    """

    reason: str
    type: str = ""
    message: str = ""
    stack: str = ""
    fingerprint: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """A task as the storage knows it: what was asked (`spec`) and how it stands.

    `attempt` counts tries and only grows; `failures` and `crashes` are the two budgets. `held` names the rule that
    keeps a queued task from being claimed. `result`, `checkpoint` and `progress` are JSON texts. `usage` is what the
    attempt that ended last took, where that was measured.
    """

    spec: NewTask
    state: State
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    run_at: int = 0
    held: str | None = None
    worker: str | None = None
    cancel_requested: bool = False
    cancel_reason: str | None = None
    started_at: int | None = None
    finished_at: int | None = None
    result: str | None = None
    error: TaskError | None = None
    checkpoint: str | None = None
    progress: str | None = None
    revision: int = 0
    usage: Usage | None = None

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def function(self) -> str:
        return self.spec.function

    @property
    def queue(self) -> str:
        return self.spec.queue

    @property
    def policy(self) -> Policy:
        return self.spec.policy

    @property
    def lease(self) -> Lease:
        """The fencing token of the current attempt."""
        return Lease(self.spec.id, self.attempt)

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try that ended badly or was given back, kept as the task's history."""

    task_id: str
    attempt: int
    outcome: str
    worker: str | None
    started_at: int | None
    finished_at: int
    error: TaskError | None = None
    usage: Usage | None = None
