"""The row codec of the SQL adapters: tasks, errors, policies and workers to JSON values and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from angelica.domain.lanes import Offer, kind_of
from angelica.domain.placement import Late, Peer
from angelica.domain.resources import Capacity
from angelica.domain.retry import Backoff, Exponential, Fixed, Linear
from angelica.domain.task import (
    NO_EXTRAS,
    NOTHING,
    Attempt,
    Extras,
    NewTask,
    Policy,
    State,
    Task,
    TaskError,
    Unique,
)
from angelica.domain.usage import Usage
from angelica.domain.value import maker
from angelica.storage.protocol import LogLine, WorkerInfo, WorkerRow

_CACHE_BOUND: Final = 4096
_STATES: Final[Mapping[str, State]] = {str(state): state for state in State}

# Short names in the order of the fields: this text is in every task's row.
_BACKOFFS: Final[Mapping[str, Callable[..., Backoff]]] = {"f": Fixed, "l": Linear, "e": Exponential}

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_new_task: Final[Callable[..., NewTask]] = maker(NewTask)
_task: Final[Callable[..., Task]] = maker(Task)
_line: Final[Callable[..., LogLine]] = maker(LogLine)

# One JSON text for each policy: by identity first, since hashing a policy costs more than encoding a task.
_texts: Final[dict[int, tuple[Policy, str]]] = {}
_policies: Final[dict[str, Policy]] = {}


def to_json(value: object) -> str:
    """Return compact JSON text."""
    return _encode(value).decode()


def from_json(text: str) -> Any:
    """Return the value of JSON text that we wrote."""
    return _decode(text)


def policy_text(policy: Policy) -> str:
    """Return the stored text of a policy, made once for each object."""
    known = _texts.get(id(policy))
    if known is not None and known[0] is policy:
        return known[1]
    text = to_json(
        [
            policy.timeout,
            policy.retries,
            policy.max_crashes,
            _backoff_row(policy.backoff),
            policy.retry_on,
            policy.retention,
        ]
    )
    if len(_texts) >= _CACHE_BOUND:
        _texts.clear()
    _texts[id(policy)] = (policy, text)
    return text


def policy_of(text: str) -> Policy:
    """Return the policy of a stored text; equal texts give the same object."""
    policy = _policies.get(text)
    if policy is None:
        timeout, retries, max_crashes, backoff, retry_on, retention = _decode(text)
        policy = Policy(timeout, retries, max_crashes, _BACKOFFS[backoff[0]](*backoff[1:]), tuple(retry_on), retention)
        if len(_policies) >= _CACHE_BOUND:
            _policies.clear()
        _policies[text] = policy
    return policy


def _backoff_row(backoff: Backoff) -> list[object]:
    kind = next(name for name, made in _BACKOFFS.items() if made is type(backoff))
    return [kind, *(getattr(backoff, name) for name in type(backoff).__slots__)]


def plain_row(task: NewTask, state: str) -> tuple[object, ...]:
    """Return the columns that every task has, in the order of the verb `insert_plain`."""
    return (
        task.id,
        task.function,
        task.version,
        task.queue,
        task.executor,
        task.priority,
        state,
        task.run_at,
        task.created_at,
        task.trace_id,
        task.payload,
        policy_text(task.policy),
    )


def is_plain(task: NewTask) -> bool:
    """Whether `plain_row` says all of it."""
    return task.extras is NO_EXTRAS and task.unique is None and task.expires_at is None and task.deadline is None


def full_row(task: NewTask, state: str) -> tuple[object, ...]:
    """Return all columns of a new task, in the order of the verb `insert_full`."""
    unique = task.unique
    extras = task.extras
    head = plain_row(task, state)
    return (
        *head[:4],
        task.lane,
        *head[5:],
        None if unique is None else unique.key,
        None if unique is None else to_json([unique.key, unique.scope, unique.on_conflict]),
        task.expires_at,
        task.deadline,
        extras.parent_id,
        extras.retry_of,
        extras_text(extras),
    )


def extras_text(extras: Extras) -> str | None:
    """Return the stored text of the rare parts, None if there are none."""
    fields = {name: getattr(extras, name) for name in Extras.__slots__}
    kept = {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in fields.items()
        if value or (name == "tenant" and value is not None)
    }
    return to_json(kept) if kept else None


def extras_of(text: str | None) -> Extras:
    """Return the rare parts of a stored text; fields that this version does not know are left out."""
    if text is None:
        return NO_EXTRAS
    kept = {name: value for name, value in _decode(text).items() if name in Extras.__slots__}
    for name in ("limits", "uses"):
        if name in kept:
            kept[name] = tuple(kept[name])
    return Extras(**kept)


def error_text(error: TaskError | None) -> str | None:
    """Return the stored text of an error."""
    return None if error is None else to_json(error)


def error_of(text: str | None) -> TaskError | None:
    """Return the error of a stored text."""
    return None if text is None else msgspec.json.decode(text, type=TaskError)


def usage_text(usage: Usage | None) -> str | None:
    """Return the stored text of what an attempt took."""
    return None if usage is None else to_json([usage.cpu_seconds, usage.peak_memory, usage.source])


def usage_of(text: str | None) -> Usage | None:
    """Return what an attempt took, of a stored text."""
    return None if text is None else Usage(*_decode(text))


def task_of(row: Sequence[Any]) -> Task:
    """Return the task of a row as the fragment `task` of the SQL gives it."""
    if row[14] is not None:
        return _worn_task(row)
    id_, function, queue, executor, priority, version, state, run_at, created_at = row[:9]
    payload, policy, trace_id, attempt, revision, _ = row[9:]
    known = _policies.get(policy) or policy_of(policy)
    spec = _new_task(id_, function, payload, run_at, created_at, known, queue, executor, priority, version, trace_id)
    return _task(spec, _STATES[state], attempt, 0, 0, run_at, revision=revision)


def _worn_task(row: Sequence[Any]) -> Task:
    """Return a task that has rare parts, or that has been through something."""
    id_, function, queue, executor, priority, version, state, run_at, created_at = row[:9]
    payload, policy, trace_id, attempt, revision, rare = row[9:]
    asked_at, unique, expires_at, deadline, extras, failures, crashes, held, worker, requested = rare[:10]
    cancel_reason, started_at, finished_at, result, error, checkpoint, progress, usage = rare[10:]
    spec = _new_task(
        id_,
        function,
        payload,
        run_at if asked_at is None else asked_at,
        created_at,
        policy_of(policy),
        queue,
        kind_of(executor),
        priority,
        version,
        trace_id,
        None if unique is None else Unique(*_decode(unique)),
        expires_at,
        deadline,
        extras_of(extras),
    )
    ended = (started_at, finished_at, result, error_of(error))
    return _task(
        spec,
        _STATES[state],
        attempt,
        failures,
        crashes,
        run_at,
        held,
        worker,
        requested == 1,
        cancel_reason,
        *ended,
        checkpoint,
        progress,
        revision,
        usage_of(usage),
    )


def claimed_of(row: list[Any], worker: str) -> Task:
    """Return the task that the claim of this (still queued) row makes; changes `row`."""
    row[6] = "running"
    row[12] += 1
    row[13] += 1
    rare = row[14]
    if rare is not None:
        rare[8] = worker
        rare[11] = None
        return task_of(row)
    (id_, function, queue, executor, priority, version, _, run_at, created_at) = row[:9]
    payload, policy, trace_id, attempt, revision, _ = row[9:]
    spec = _new_task(
        id_,
        function,
        payload,
        run_at,
        created_at,
        _policies.get(policy) or policy_of(policy),
        queue,
        executor,
        priority,
        version,
        trace_id,
    )
    return _task(spec, State.RUNNING, attempt, 0, 0, run_at, None, worker, revision=revision)


def taken_of(row: Any, lane: tuple[str, str, int, int], worker: str) -> Task:
    """Return the task of a row that a claim has just written; `lane` is (queue, executor, priority, …) of it."""
    id_, function, version, run_at, created_at, payload, policy, trace_id, attempt, revision, rare = row[-11:]
    queue, executor, priority, _ = lane
    if rare is not None:
        head = (id_, function, queue, executor, priority, version, "running", run_at, created_at)
        return _worn_task((*head, payload, policy, trace_id, attempt, revision, _decode(rare)))
    known = _policies.get(policy) or policy_of(policy)
    spec = _new_task(id_, function, payload, run_at, created_at, known, queue, executor, priority, version, trace_id)
    return _task(spec, State.RUNNING, attempt, 0, 0, run_at, None, worker, revision=revision)


def attempt_of(row: Sequence[Any]) -> Attempt:
    """Return the attempt of a row (task id, attempt, outcome, worker, started_at, finished_at, error, usage)."""
    task_id, attempt, outcome, worker, started_at, finished_at, error, usage = row
    return Attempt(task_id, attempt, outcome, worker, started_at, finished_at, error_of(error), usage_of(usage))


def line_of(row: Sequence[Any]) -> LogLine:
    """Return the log line of a row in the order of its fields."""
    return _line(*row)


def worker_text(info: WorkerInfo) -> str:
    """Return the stored text of a worker."""
    return to_json({name: _plain(getattr(info, name)) for name in WorkerInfo.__slots__})


def worker_of(row: Sequence[Any]) -> WorkerRow:
    """Return the worker of a row (info, lease_until, seen_at, running, control)."""
    text, lease_until, seen_at, running, control = row
    known = {name: value for name, value in _decode(text).items() if name in WorkerInfo.__slots__}
    for name in ("queues", "functions"):
        if known.get(name) is not None:
            known[name] = tuple(known[name])
    for name in ("labels", "capacity", "select"):
        known[name] = known.get(name) or NOTHING
    if known.get("kept") is not None:
        known["kept"] = Late(*known["kept"])
    return WorkerRow(WorkerInfo(**known), lease_until, seen_at, running, control or "run")


def peer_of(row: Sequence[Any]) -> Peer:
    """Return what a worker may take, of a row of the verb `offers`."""
    worker, labels, functions, cpu, memory, capacity, queues, select = row
    offer = Offer(labels, functions, Capacity(cpu, memory), tuple(capacity))
    return Peer(worker, offer, None if queues is None else tuple(queues), select)


def _plain(value: object) -> object:
    return dict(cast("Mapping[str, str]", value)) if isinstance(value, Mapping) else value
