"""Views: a task and what belongs to it, as the JSON that clients see."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from angelica.clock import MILLISECOND, SECOND
from angelica.domain import reasons
from angelica.domain.status import STATUS
from angelica.domain.task import NOTHING, State, Task, TaskError
from angelica.durations import format_moment
from angelica.http.command_views import KIND, OutputView, UsageView, command_text, output_view, usage_view

REDACTED: Final = "[redacted]"
_SECRET_WORDS: Final = ("token", "authorization", "cookie", "password", "secret", "api-key", "api_key", "apikey")
_NULL: Final = msgspec.Raw(b"null")
_NO_LABELS: Final[dict[str, str]] = {}


class Hint(msgspec.Struct, gc=False):
    """Why a task waits, in short: a reason code and its parameters."""

    code: str
    params: dict[str, Any]


class ErrorView(msgspec.Struct, gc=False):
    """Why an attempt ended badly. `stack` is left out of lists."""

    reason: str
    type: str
    message: str
    fingerprint: str
    attempt: int
    stack: str | None = None


class TaskView(msgspec.Struct, gc=False):
    """A task. Moments are RFC 3339 in UTC with milliseconds; `duration` and `wait` are seconds."""

    task_id: str
    name: str
    queue: str
    status: str
    state: str
    why: Hint | None
    cancel_requested: bool
    attempt: int
    failures: int
    retries: int
    priority: int
    version: int
    labels: dict[str, str]
    extensions: dict[str, Any]
    create_time: str
    run_at: str
    start_time: str | None
    end_time: str | None
    duration: float | None
    wait: float | None
    progress: msgspec.Raw
    result: msgspec.Raw
    error: ErrorView | None
    worker: str | None
    trace_id: str
    created_by: str | None
    schedule_id: str | None
    parent_id: str | None
    retry_of: str | None
    row_version: int
    logs_url: str
    links: dict[str, str]
    kind: str = "function"
    command: str | None = None
    output: OutputView | None = None
    usage: UsageView | None = None
    workflow_id: None = None


FIELDS: Final = frozenset(TaskView.__struct_fields__)


def task_view(task: Task, base: str = "", *, listed: bool = False) -> TaskView:
    """Return the view of a task; `listed` leaves the bodies (result, stack) out."""
    view = _usual_view(task, base, listed=listed)
    if task.spec.executor == KIND:
        view.kind, view.command, view.output = KIND, command_text(task), output_view(task)
    if task.usage is not None:
        view.usage = usage_view(task.usage)
    return view


def _usual_view(task: Task, base: str, *, listed: bool) -> TaskView:
    spec = task.spec
    extras = spec.extras
    state = task.state
    path = f"{base}/tasks/{spec.id}"
    started, finished = task.started_at, task.finished_at
    run_at = task.run_at or spec.run_at
    return TaskView(
        spec.id,
        spec.function,
        spec.queue,
        STATUS[state],
        fine_state(task),
        _hint(task),
        task.cancel_requested,
        task.attempt,
        task.failures,
        spec.policy.retries,
        spec.priority,
        spec.version,
        _plain(extras.labels),
        _plain(extras.extensions),
        moment(spec.created_at),
        moment(run_at),
        None if started is None else moment(started),
        None if finished is None else moment(finished),
        None if started is None or finished is None else (finished - started) / SECOND,
        None if started is None else max(started - max(run_at, spec.created_at), 0) / SECOND,
        raw(task.progress),
        _NULL if listed else raw(task.result),
        None if task.error is None else error_view(task.error, stack=not listed),
        task.worker,
        spec.trace_id,
        extras.created_by,
        extras.schedule_id,
        extras.parent_id,
        extras.retry_of,
        task.revision,
        path + "/logs",
        {"self": path, "events": path + "/events", "cancel": path + "/cancel", "retry": path + "/retry"},
    )


def fine_state(task: Task) -> str:
    """Return the state as clients see it: `blocked` and `retrying` are computed, the rest is stored."""
    if task.state is State.QUEUED and task.held is not None:
        return "blocked"
    if task.state is State.SCHEDULED and task.failures + task.crashes > 0:
        return "retrying"
    return task.state.value


def error_view(error: TaskError, *, stack: bool = True) -> ErrorView:
    """Return the view of a stored error."""
    shown = error.stack or None if stack else None
    return ErrorView(error.reason, error.type, error.message, error.fingerprint, error.attempt, shown)


def raw(text: str | None) -> msgspec.Raw:
    """Return a stored JSON text as it stands, `null` for none."""
    return _NULL if text is None else msgspec.Raw(text.encode())


def moment(micros: int) -> str:
    """Return a moment as RFC 3339 in UTC with milliseconds."""
    seconds, rest = divmod(micros, SECOND)
    return f"{_second(seconds)}.{rest // MILLISECOND:03d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return format_moment(seconds * SECOND)[:19]


def _hint(task: Task) -> Hint | None:
    if task.state is State.SCHEDULED:
        code = reasons.BACKOFF if task.failures + task.crashes else reasons.SCHEDULED
        return Hint(code, {"until": moment(task.run_at)})
    if task.state is State.QUEUED and task.held is not None:
        kind, _, name = task.held.partition(":")
        return Hint(reasons.BREAKER_OPEN, {"breaker": name}) if kind == "breaker" else Hint(task.held, {})
    return None


def _plain(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return _NO_LABELS if mapping is NOTHING or not mapping else dict(mapping)


def input_view(task: Task) -> dict[str, Any]:
    """Return what the task was asked with, by the names of the request; secrets in headers are redacted."""
    spec, policy = task.spec, task.spec.policy
    payload = msgspec.json.decode(spec.payload, type=dict[str, msgspec.Raw])
    return {
        "args": payload.get("args", msgspec.Raw(b"[]")),
        "kwargs": payload.get("kwargs", msgspec.Raw(b"{}")),
        "headers": redact(spec.extras.headers),
        "timeout": None if policy.timeout is None else policy.timeout / SECOND,
        "max_crashes": policy.max_crashes,
        "crashes": task.crashes,
        "retry_on": policy.retry_on,
        "result_ttl": policy.retention / SECOND,
        "executor": spec.executor,
        "requires": dict(spec.extras.requires),
        "limits": list(spec.extras.limits),
        "deadline": None if spec.deadline is None else moment(spec.deadline),
        "expires_at": None if spec.expires_at is None else moment(spec.expires_at),
        "unique": None if spec.unique is None else spec.unique,
        "resources": dict(spec.extras.resources),
        "checkpoint": raw(task.checkpoint),
    }


INPUT_FIELDS: Final = (
    "args",
    "kwargs",
    "headers",
    "timeout",
    "max_crashes",
    "crashes",
    "retry_on",
    "result_ttl",
    "executor",
    "requires",
    "limits",
    "deadline",
    "expires_at",
    "unique",
    "resources",
    "checkpoint",
)


def redact(headers: Mapping[str, str]) -> dict[str, str]:
    """Return carried headers with the values of credentials (`auth_token`, …) replaced."""
    return {
        name: REDACTED if any(word in name.lower() for word in _SECRET_WORDS) else value
        for name, value in headers.items()
    }


def pick(task: Task, base: str, names: Collection[str]) -> dict[str, Any]:
    """Return only the named members of a task (`task_id` always); see `FIELDS` and `INPUT_FIELDS`."""
    view = task_view(task, base)
    chosen: dict[str, Any] = {"task_id": task.id}
    chosen.update((name, getattr(view, name)) for name in names if name in FIELDS)
    if any(name in INPUT_FIELDS for name in names):
        asked = input_view(task)
        chosen.update((name, asked[name]) for name in names if name in asked)
    return chosen


def etag(task: Task, *, variant: str = "") -> str:
    """Return the strong entity tag of a task: its row version, and which members are shown."""
    return f'"{task.revision}{variant}"'
