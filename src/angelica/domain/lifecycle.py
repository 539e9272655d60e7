"""The one way out of `running`: from how an attempt ended to what is written, as a total function of values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

from angelica.clock import SECOND, Now
from angelica.domain import reasons
from angelica.domain.breaker import Call
from angelica.domain.outcome import (
    Cancelled,
    Crashed,
    Failed,
    LeaseExpired,
    Outcome,
    Released,
    Snoozed,
    Succeeded,
)
from angelica.domain.retry import delay
from angelica.domain.task import Lease, NewTask, State, Task, TaskError
from angelica.domain.usage import Usage
from angelica.domain.value import maker


@dataclass(frozen=True, slots=True)
class Completion:
    """What to write when an attempt has ended; fenced by (`task_id`, `attempt`).

    `outcome` is the kind of end in one word, kept with attempts that did not succeed. `retain_until` is when the
    ended task may be pruned. If `expired_by` is set, it applies only while the holder's lease is still past that
    tick (a sweep). If the state is not terminal but a cancel was requested meanwhile, the storage writes
    `cancelled` instead: a cancel wins over a retry and loses to an end. `schedule_id` is set where the end is terminal
    and the task is a run of a schedule, which the storage then settles (`domain.fire.settle`). `usage` is what the
    attempt took, where that was measured. `uses` names the breakers that `call` is told to.
    """

    task_id: str
    attempt: int
    queue: str
    outcome: str
    state: State
    run_at: int
    failures: int
    crashes: int
    finished_at: int
    retain_until: int
    started_at: int | None = None
    result: str | None = None
    error: TaskError | None = None
    held: str | None = None
    expired_by: int | None = None
    then: tuple[NewTask, ...] = ()
    schedule_id: str | None = None
    usage: Usage | None = None
    uses: tuple[str, ...] = ()
    call: Call | None = None

    @property
    def lease(self) -> Lease:
        return Lease(self.task_id, self.attempt)


_completion: Final = maker(Completion)


def complete(
    task: Task,
    outcome: Outcome,
    *,
    now: Now,
    chance: float,
    started_at: int | None = None,
    expired_by: int | None = None,
) -> Completion:
    """Return what to write for `task` after `outcome`.

    `chance` in [0, 1) chooses the jitter. `started_at` is when the handler began, None if it never did.
    """
    match outcome:
        case Succeeded():
            end = _end(task, "succeeded", State.SUCCEEDED, now, started_at, expired_by, outcome.result)
        case Failed():
            end = _failed(task, outcome, now, chance, started_at, expired_by)
        case Snoozed():
            end = _again(task, "snoozed", now, started_at, expired_by, run_at=outcome.until)
        case Cancelled():
            error = TaskError(outcome.reason, message=outcome.message, attempt=task.attempt)
            end = _end(task, "cancelled", State.CANCELLED, now, started_at, expired_by, None, error)
        case Released():
            end = _again(task, "released", now, None, expired_by, held=outcome.held)
        case LeaseExpired():
            message = f"worker {outcome.worker or task.worker} stopped renewing its lease"
            error = TaskError(reasons.LEASE_EXPIRED, message=message, attempt=task.attempt)
            end = _crashed(task, "lease_expired", error, now, started_at, expired_by)
        case Crashed():
            end = _crashed(task, "crashed", outcome.error, now, started_at, expired_by)
        case _:
            assert_never(outcome)
    usage = getattr(outcome, "usage", None)
    if usage is not None:
        object.__setattr__(end, "usage", usage)  # made above and seen by nobody yet; a copy costs 16 µs
    if task.spec.extras.uses:
        object.__setattr__(end, "uses", task.spec.extras.uses)
        object.__setattr__(end, "call", _call(task, outcome, now, started_at))
    return end


def _call(task: Task, outcome: Outcome, now: Now, started_at: int | None) -> Call:
    """Return what an attempt says of the downstreams that it used: nothing where it did not come to an end itself."""
    latency = task.spec.extras.latency
    failed: bool | None = None
    leave_alone = None
    if isinstance(outcome, Succeeded):
        failed = False
    elif isinstance(outcome, Failed) and outcome.blames:
        failed, leave_alone = True, outcome.leave_alone
    slow = latency is not None and started_at is not None and failed is not None and now.wall - started_at > latency
    return Call(task.lease, failed, slow, leave_alone, started_at)


def _end(  # noqa: PLR0913, PLR0917 - on the hot path: positional, and all of them plain values
    task: Task,
    outcome: str,
    state: State,
    now: Now,
    started_at: int | None,
    expired_by: int | None,
    result: str | None = None,
    error: TaskError | None = None,
    failures: int | None = None,
    crashes: int | None = None,
) -> Completion:
    """A terminal end."""
    spec = task.spec
    return _completion(
        spec.id,
        task.attempt,
        spec.queue,
        outcome,
        state,
        task.run_at,
        task.failures if failures is None else failures,
        task.crashes if crashes is None else crashes,
        now.wall,
        now.wall + spec.policy.retention,
        started_at,
        result,
        error,
        None,
        expired_by,
        (),
        spec.extras.schedule_id,
    )


def _again(  # noqa: PLR0913 - the parts of a completion
    task: Task,
    outcome: str,
    now: Now,
    started_at: int | None,
    expired_by: int | None,
    *,
    run_at: int | None = None,
    held: str | None = None,
    error: TaskError | None = None,
    failures: int | None = None,
    crashes: int | None = None,
) -> Completion:
    """Back to the queue: at once, or at `run_at`."""
    later = run_at is not None and run_at > now.wall
    return Completion(
        task_id=task.spec.id,
        attempt=task.attempt,
        queue=task.spec.queue,
        outcome=outcome,
        state=State.SCHEDULED if later else State.QUEUED,
        run_at=task.run_at if run_at is None else run_at,
        failures=task.failures if failures is None else failures,
        crashes=task.crashes if crashes is None else crashes,
        finished_at=now.wall,
        retain_until=now.wall + task.spec.policy.retention,
        started_at=started_at,
        error=error,
        held=None if later else held,
        expired_by=expired_by,
    )


def _failed(
    task: Task, outcome: Failed, now: Now, chance: float, started_at: int | None, expired_by: int | None
) -> Completion:
    policy = task.spec.policy
    failures = task.failures + 1
    if task.cancel_requested:
        error = TaskError(reasons.CANCELLED, message=task.cancel_reason or "", attempt=task.attempt)
        return _end(task, "cancelled", State.CANCELLED, now, started_at, expired_by, None, error, failures)
    wait = outcome.retry_after
    if wait is None:
        wait = int(delay(policy.backoff, task.failures, chance=chance) * SECOND)
    run_at = now.wall + max(wait, 0)
    too_late = task.spec.deadline is not None and run_at >= task.spec.deadline
    name = "timeout" if outcome.error.reason == reasons.TIMEOUT else "failed"
    if outcome.final or too_late or failures > policy.retries:
        return _end(task, name, State.FAILED, now, started_at, expired_by, None, outcome.error, failures)
    return _again(task, name, now, started_at, expired_by, run_at=run_at, error=outcome.error, failures=failures)


def _crashed(
    task: Task, name: str, error: TaskError, now: Now, started_at: int | None, expired_by: int | None
) -> Completion:
    crashes = task.crashes + 1
    if task.cancel_requested:
        end = TaskError(reasons.CANCELLED, message=task.cancel_reason or "", attempt=task.attempt)
        return _end(task, "cancelled", State.CANCELLED, now, started_at, expired_by, None, end, None, crashes)
    if crashes > task.spec.policy.max_crashes:
        times = "once" if crashes == 1 else f"{crashes} times"
        poison = TaskError(
            reasons.POISON,
            type=error.type,
            message=f"its process died {times}; the last time: {error.message or error.reason}",
            stack=error.stack,
            fingerprint=error.fingerprint,
            attempt=task.attempt,
        )
        return _end(task, name, State.FAILED, now, started_at, expired_by, None, poison, None, crashes)
    return _again(task, name, now, started_at, expired_by, error=error, crashes=crashes)


def lapsed(task: NewTask, *, now: Now) -> str | None:
    """Return the reason why a task may no longer start (`expired`, `deadline`), or None."""
    if task.expires_at is not None and task.expires_at <= now.wall:
        return reasons.EXPIRED
    if task.deadline is not None and task.deadline <= now.wall:
        return reasons.DEADLINE
    return None


def first_state(task: NewTask, *, now: Now) -> State:
    """Return where a new task begins: `queued` if it is due, else `scheduled`."""
    return State.QUEUED if task.run_at <= now.wall else State.SCHEDULED
