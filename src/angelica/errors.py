"""Every exception that Angelica raises on purpose.

AngelicaError
Refused                     the call was understood and refused; nothing was written
InvalidValue              a field is wrong: `field` names it, `hint` says what would be right
InvalidArguments        the arguments do not fit the function
UnknownFunction         no such function; `near` lists close names
NotSupported            a field that this version does not serve yet
Conflict                  it collides with what stands
IdConflict              the same task id with another body
UniqueConflict          the same unique key, and `on_conflict="reject"`
IdempotencyMismatch     the same Idempotency-Key with another body
NotFinished             needs an ended task
NotCancellable          the task has already ended
ScheduleConflict        the same schedule id with another body
WorkerConflict          the worker cannot do that, or not any more
VersionConflict         the schedule was edited since the version that the edit names
QueueFull                 a bound was reached; try again after `retry_after` seconds
ShuttingDown              the engine takes no new work
SubmitRefused             a before-submit hook said no
CommandsDisabled          the configuration has no commands
CommandNotAllowed         no pattern of the configuration takes the command; `near` is the nearest
NotFound                    no such task, function, …
NotLoadable                 no child process can find a function of the `process` executor
StorageError
StorageUnavailable        the storage cannot be reached or is busy beyond its bound; safe to repeat
StorageCorrupt            the storage failed a check
SchemaMismatch            the schema is newer, older or not ours
StoreMoved                the data has been moved to another storage
TaskFailed                  raised by `result()` for a task that failed; carries `error`
TaskCancelled               raised by `result()` for a task that was cancelled
WaitTimeout                 the task did not end in time
Signal                        raised by a handler to say how its attempt ends (not errors)
Retry  Fail  Cancel  Snooze
"""

from __future__ import annotations

from typing import Any


class AngelicaError(Exception):
    """Base of all errors."""

    code = "error"


class Refused(AngelicaError):
    """The call was understood and refused; nothing was written."""

    code = "refused"


class InvalidValue(Refused):
    """A field is wrong: `field` is a JSON pointer (`/priority`), `problem` says what, `hint` what would be right."""

    code = "validation-failed"

    def __init__(self, field: str, problem: str, *, hint: str = "", rule: str = "invalid", **params: Any) -> None:
        self.field = field
        self.problem = problem
        self.hint = hint
        self.rule = rule
        self.params = params
        name = field.strip("/").replace("/", ".")
        super().__init__(f"{name}: {problem}" + (f" ({hint})" if hint else ""))


class InvalidArguments(InvalidValue):
    """The arguments do not fit the function's signature."""

    code = "invalid-arguments"


class UnknownFunction(InvalidValue):
    """No function of that name is registered; `near` lists names that are close."""

    code = "unknown-function"

    def __init__(self, name: str, near: tuple[str, ...] = ()) -> None:
        self.name = name
        self.near = near
        hint = f"did you mean {', '.join(near)}?" if near else "see GET /functions"
        super().__init__("/name", f"no function is called {name!r}", hint=hint, rule="unknown_function", near=near)


class NotSupported(InvalidValue):
    """A field that this version does not serve yet; nothing is accepted and ignored."""

    code = "not-supported"


class Conflict(Refused):
    """The call collides with what stands; `task_id` names the standing task where there is one."""

    code = "conflict"

    def __init__(self, message: str, *, task_id: str | None = None) -> None:
        self.task_id = task_id
        super().__init__(message)


class IdConflict(Conflict):
    """The same task id with another body."""

    code = "id-conflict"


class UniqueConflict(Conflict):
    """The unique key is taken and `on_conflict` is `reject`."""

    code = "unique-conflict"


class IdempotencyMismatch(Conflict):
    """The same Idempotency-Key came with another body."""

    code = "idempotency-mismatch"


class WorkerConflict(Conflict):
    """The worker cannot do that, or not any more."""

    code = "worker-conflict"


class NotFinished(Conflict):
    """The call needs a task that has ended."""

    code = "not-finished"


class NotCancellable(Conflict):
    """The task has already ended."""

    code = "not-cancellable"


class ScheduleConflict(Conflict):
    """The same schedule id with another body; `schedule_id` names the one that stands."""

    code = "id-conflict"

    def __init__(self, message: str, *, schedule_id: str) -> None:
        self.schedule_id = schedule_id
        super().__init__(message)


class VersionConflict(Conflict):
    """The schedule was edited since the version that the edit names; `current` is the version that stands."""

    code = "version-conflict"

    def __init__(self, message: str, *, current: int) -> None:
        self.current = current
        super().__init__(message)


class QueueFull(Refused):
    """A bound was reached; try again after `retry_after` seconds."""

    code = "queue-full"

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class ShuttingDown(Refused):
    """The engine takes no new work."""

    code = "shutting-down"


class SubmitRefused(Refused):
    """A before-submit hook refused the task; the message is its reason. Answered with `status` (4xx) over HTTP."""

    code = "submit-refused"

    def __init__(self, reason: str, *, status: int = 422) -> None:
        self.reason = reason
        self.status = status
        super().__init__(reason)


class CommandsDisabled(Refused):
    """Commands are off: the configuration file of this process has none."""

    code = "commands-disabled"

    def __init__(self, message: str = "commands are off: the configuration file has no [commands.…]") -> None:
        super().__init__(message)


class CommandNotAllowed(Refused):
    """No pattern of the configuration takes the command line; `near` is the pattern that has most in common."""

    code = "command-not-allowed"

    def __init__(self, text: str, near: str) -> None:
        self.near = near
        super().__init__(f"no pattern of the configuration takes {text!r}; the nearest is {near!r}")


class Aborted(Refused):
    """Not written because another item of the same atomic batch was refused."""

    code = "aborted"

    def __init__(self, message: str = "not stored: another task of the batch was refused") -> None:
        super().__init__(message)


class NotFound(AngelicaError):
    """There is no such thing."""

    code = "not-found"


class NotLoadable(AngelicaError):
    """A child process could not find the application of its worker; `hint` says what to do."""

    code = "not-loadable"

    def __init__(self, problem: str, *, hint: str) -> None:
        self.hint = hint
        super().__init__(f"{problem} ({hint})")


class StorageError(AngelicaError):
    """The storage could not do it."""

    code = "store-error"


class StorageUnavailable(StorageError):
    """The storage cannot be reached, or is busy beyond its bound; repeating is safe."""

    code = "store-unavailable"

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class StorageCorrupt(StorageError):
    """The storage failed a check."""

    code = "store-corrupt"


class SchemaMismatch(StorageError):
    """The schema is newer, older or not ours."""

    code = "schema-mismatch"


class StoreMoved(StorageError):
    """The data has been moved to another storage, named by `url`."""

    code = "store-moved"

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(f"the data has moved to {url}")


class TaskFailed(AngelicaError):
    """The task failed; `error` is the stored `TaskError`."""

    code = "task-failed"

    def __init__(self, task_id: str, error: Any) -> None:
        self.task_id = task_id
        self.error = error
        super().__init__(f"task {task_id} failed: {error.type or error.reason}: {error.message}")


class TaskCancelled(AngelicaError):
    """The task was cancelled; `reason` says why."""

    code = "task-cancelled"

    def __init__(self, task_id: str, reason: str) -> None:
        self.task_id = task_id
        self.reason = reason
        super().__init__(f"task {task_id} was cancelled: {reason}")


class WaitTimeout(AngelicaError):
    """The task did not end in time."""

    code = "wait-timeout"


class Signal(Exception):
    """Raised by a handler to say how its attempt ends."""


class Retry(Signal):
    """Try again, `after` seconds from now (default: the policy's backoff). Spends a retry."""

    def __init__(self, reason: str = "", *, after: float | None = None) -> None:
        self.after = after
        self.reason = reason
        super().__init__(reason or "retry")


class Fail(Signal):
    """End the task as failed now, whatever retries are left."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason or "failed")


class Cancel(Signal):
    """End the task as cancelled."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason or "cancelled")


class Snooze(Signal):
    """Run again `after` seconds from now, at no cost."""

    def __init__(self, after: float) -> None:
        self.after = after
        super().__init__(f"snoozed for {after} s")
