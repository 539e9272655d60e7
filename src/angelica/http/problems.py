"""Problems: the closed list of error slugs, and how any exception becomes an RFC 9457 problem document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import msgspec

from angelica.errors import (
    CommandNotAllowed,
    CommandsDisabled,
    Conflict,
    IdempotencyMismatch,
    InvalidValue,
    NotFound,
    NotSupported,
    QueueFull,
    Refused,
    ScheduleConflict,
    ShuttingDown,
    StorageError,
    StorageUnavailable,
    StoreMoved,
    SubmitRefused,
    UnknownFunction,
    VersionConflict,
)
from angelica.runtime.drafts import InvalidRequest
from angelica.strict_json import InvalidJson

PROBLEM_TYPE: Final = b"application/problem+json"
_RESTART: Final = 5.0
SHOWN: Final = 100
"""At most so many single errors are listed in one document."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: its status, title and what a reader should do."""

    status: int
    title: str
    text: str


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "invalid-json": Kind(400, "The body is not JSON", "The body cannot be read as strict JSON (RFC 8259)."),
        "invalid-query": Kind(400, "The query is not valid", "A query parameter is unknown or has a bad value."),
        "invalid-header": Kind(400, "A header is not valid", "A request header has a value that cannot be read."),
        "unauthorized": Kind(401, "A token is needed", "Send `Authorization: Bearer …` with a token of this server."),
        "forbidden": Kind(403, "Not allowed", "The caller may not do this."),
        "cross-site": Kind(403, "Cross-site request", "A page of another site may not use this API from a browser."),
        "commands-disabled": Kind(403, "Commands are off", "The configuration file of the server has no commands."),
        "command-not-allowed": Kind(
            403, "The command is not allowed", "No pattern of the configuration takes it; `near` is the nearest."
        ),
        "not-found": Kind(404, "Not found", "There is nothing at this address, or it is gone."),
        "method-not-allowed": Kind(405, "Method not allowed", "The `Allow` header lists the methods of this address."),
        "not-acceptable": Kind(406, "Not acceptable", "The answer cannot be given in a form that `Accept` asks for."),
        "conflict": Kind(409, "Conflict", "The request collides with what stands."),
        "id-conflict": Kind(409, "The id is taken", "What stands under this id was made from another body."),
        "version-conflict": Kind(409, "Another version", "It was edited since the `version` that the edit names."),
        "unique-conflict": Kind(409, "The unique key is taken", "A task of this function and unique key stands."),
        "not-cancellable": Kind(409, "The task has ended", "Only a task that has not ended can be cancelled."),
        "worker-conflict": Kind(409, "The worker cannot do that", "It is stopping already, or of an older version."),
        "not-finished": Kind(409, "The task has not ended", "Wait for the end of the task, e.g. with `?wait=30`."),
        "task-failed": Kind(409, "The task failed", "There is no result; `task_error` says why."),
        "task-cancelled": Kind(409, "The task was cancelled", "There is no result; `task_error` says why."),
        "precondition-failed": Kind(412, "Another version", "It has changed since it was read (`If-Match`)."),
        "too-large": Kind(413, "The body is too large", "Send less, or raise `body_limit`."),
        "uri-too-long": Kind(414, "The address is too long", "Path and query may have 8 KiB together."),
        "json-required": Kind(415, "JSON is required", "Send the body as `Content-Type: application/json`."),
        "wrong-host": Kind(421, "Wrong host", "The `Host` header is not one of ours; see `allowed_hosts`."),
        "validation-failed": Kind(422, "The request is not valid", "`errors` names each field that is wrong."),
        "invalid-cron": Kind(
            422, "The schedule cannot be read", "`field`, `position` and `token` say where, `hint` what would be right."
        ),
        "no-future-fire": Kind(422, "The schedule never fires", "Nothing was stored: no moment to come matches."),
        "unknown-function": Kind(
            422, "Unknown function", "No function of that name is registered; see `GET /functions`."
        ),
        "invalid-arguments": Kind(422, "The arguments do not fit", "See `GET /functions/{name}` for the parameters."),
        "not-supported": Kind(422, "Not supported yet", "This version does not serve that field; nothing is ignored."),
        "idempotency-mismatch": Kind(422, "Another body", "This Idempotency-Key has been used with another request."),
        "submit-refused": Kind(422, "Refused by a hook", "A before-submit hook refused the task."),
        "rate-limited": Kind(429, "Too many requests", "Try again after `Retry-After` seconds."),
        "queue-full": Kind(429, "The queue is full", "Nothing was stored; try again after `Retry-After` seconds."),
        "headers-too-large": Kind(431, "The headers are too large", "The header fields may have 16 KiB together."),
        "server-error": Kind(500, "Server error", "A fault of the server; `trace_id` finds it in its log."),
        "store-error": Kind(500, "Storage error", "The storage failed; `trace_id` finds it in the server's log."),
        "store-unavailable": Kind(
            503, "The storage is not available", "Repeating is safe, after `Retry-After` seconds."
        ),
        "store-moved": Kind(
            503, "The storage has moved", "The data is elsewhere now; the server starts again there, or is to be."
        ),
        "shutting-down": Kind(503, "Shutting down", "The engine takes no new work; try another instance, or later."),
        "engine-not-started": Kind(
            503, "The engine is not started", "Give the host app our lifespan: `FastAPI(lifespan=engine.lifespan)`."
        ),
    }
)


class HttpProblem(Exception):
    """A problem that the HTTP floor itself finds. `more` are extension members of the document."""

    def __init__(
        self,
        slug: str,
        detail: str = "",
        *,
        errors: Iterable[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.slug = slug
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.status = status
        self.more = dict(more or {})
        super().__init__(f"{slug}: {detail}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem document, ready but for the address and the trace id."""

    slug: str
    status: int
    detail: str
    errors: tuple[Mapping[str, Any], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def document(self, *, instance: str | None, trace_id: str | None, base: str = "") -> dict[str, Any]:
        """Return the members of the problem document."""
        members: dict[str, Any] = {
            "type": f"{base}/problems/{self.slug}",
            "title": KINDS[self.slug].title,
            "status": self.status,
            "error": self.slug,
            "detail": self.detail or KINDS[self.slug].text,
        }
        if instance is not None:
            members["instance"] = instance
        if trace_id is not None:
            members["trace_id"] = trace_id
        if self.errors:
            members["errors"] = self.errors[:SHOWN]
        return {**members, **self.more}

    def body(self, *, instance: str | None, trace_id: str | None, base: str = "") -> bytes:
        """Return the document as JSON."""
        return msgspec.json.encode(self.document(instance=instance, trace_id=trace_id, base=base), enc_hook=str)


def field_error(error: InvalidValue, pointer: str = "") -> dict[str, Any]:
    """Return one member of `errors`: where, which rule, its parameters, and what to tell a person."""
    message = f"{error.problem} ({error.hint})" if error.hint else error.problem
    return {"pointer": pointer + error.field, "code": error.rule, "params": dict(error.params), "message": message}


def field_problem(field: str, message: str, code: str, **params: Any) -> dict[str, Any]:
    """Return one member of `errors` for a fault that the HTTP floor finds; `field` is a pointer or a parameter."""
    return {"pointer": field, "code": code, "params": params, "message": message}


def problem_of(error: Exception, *, validation_status: int = 422) -> Problem | None:
    """Return the problem that `error` is answered with, None for an exception that nobody expected."""
    match error:
        case HttpProblem():
            status = KINDS[error.slug].status if error.status is None else error.status
            return Problem(error.slug, status, error.detail, error.errors, error.headers, error.more)
        case InvalidJson():
            return Problem("invalid-json", 400, str(error))
        case InvalidRequest():
            return _invalid(error.problems, validation_status)
        case InvalidValue():
            return _invalid([error], validation_status)
        case NotFound():
            return Problem(error.code, 404, str(error))
        case StorageUnavailable():
            # The message may name a file or an address: it is for the log, not for the caller.
            return Problem(error.code, 503, "", headers=retry_after(error.retry_after))
        case StoreMoved():
            return Problem(error.code, 503, "", headers=retry_after(_RESTART))
        case StorageError():
            return Problem("store-error", 500, "")
        case Refused():
            return _refused(error)
        case _:
            return None


def _refused(error: Refused) -> Problem:
    slug = error.code if error.code in KINDS else "conflict"
    match error:
        case IdempotencyMismatch():
            return Problem(slug, 422, str(error))
        case Conflict():
            return Problem(slug, 409, str(error), more=_standing(error))
        case QueueFull():
            return Problem(slug, 429, str(error), headers=retry_after(error.retry_after))
        case ShuttingDown():
            return Problem(slug, 503, str(error), headers=retry_after(_RESTART))
        case CommandsDisabled():
            return Problem(slug, 403, str(error))
        case CommandNotAllowed():
            return Problem(slug, 403, str(error), more={"near": error.near})
        case SubmitRefused():
            client_error = 400 <= error.status < 500  # noqa: PLR2004 - the range of the client's faults
            return Problem(slug, error.status if client_error else 422, error.reason)
        case _:
            return Problem("validation-failed", 422, str(error))


def _standing(error: Conflict) -> dict[str, Any]:
    """What the call collides with, where the error names it."""
    match error:
        case ScheduleConflict():
            return {"schedule_id": error.schedule_id}
        case VersionConflict():
            return {"version": error.current}
        case _:
            return {} if error.task_id is None else {"task_id": error.task_id}


def retry_after(seconds: float) -> dict[str, str]:
    """Return the `Retry-After` header: whole seconds, at least one."""
    return {"Retry-After": str(max(1, -int(-seconds // 1)))}


def _slug(error: InvalidValue) -> str:
    """Schedule texts have slugs of their own: their errors say where in the text, and what would be right."""
    if error.rule == "no_future_fire":
        return "no-future-fire"
    in_text = "token" in error.params and error.field not in ("/timezone", "/every", "/dialect", "/day_match")
    return "invalid-cron" if in_text else error.code


def _invalid(problems: Iterable[InvalidValue], status: int) -> Problem:
    found = list(problems)
    slugs = {_slug(error) for error in found}
    # One slug only where all agree: a client that looks at `error` alone must not be told half of it.
    slug = slugs.pop() if len(slugs) == 1 else "validation-failed"
    if slug not in KINDS:
        slug = "validation-failed"
    more: dict[str, Any] = {}
    if slug == "unknown-function" and isinstance(found[0], UnknownFunction):
        more["near"] = list(found[0].near)
    if slug == "invalid-cron":
        more = {name: found[0].params.get(name) for name in ("field", "position", "token", "hint")}
    detail = "; ".join(str(error) for error in found[:SHOWN])
    kind = 422 if slug == NotSupported.code else status
    return Problem(slug, kind, detail, tuple(field_error(error) for error in found), more=more)
