"""The wire between a worker and its warm children: what is said, and how it is framed.

A frame is four bytes of length and a MessagePack array of messages. Both ends read strictly: a message that is not
one of these is an error. No message can make the other end import or evaluate anything, but for `Setup`, which the
worker sends once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from angelica.domain.outcome import Cancelled, Failed, Outcome, Released, Snoozed, Succeeded
from angelica.domain.retry import backoff_from_dict, backoff_to_dict
from angelica.domain.task import NO_EXTRAS, Extras, NewTask, Policy, State, Task, TaskError, Unique
from angelica.domain.usage import Usage

FRAME_LIMIT: Final = 256 << 20
"""Bytes of one frame; a longer one is not ours."""

_HEAD: Final = 4

Line = tuple[int, str, str, str, str]  # at, stream, level, logger, message


class Source(msgspec.Struct, frozen=True):
    """A module by its name, or (a script) by its file; `attribute` leads to the engine, where it does."""

    module: str
    attribute: str = ""
    path: str | None = None


class Setup(msgspec.Struct, frozen=True, tag="setup"):
    """What a child needs to load the application as its worker has it.

    `sources` are imported in order; the first leads to the engine. `required` are the functions that it must know
    then. `url` is the worker's store; `reachable` False says that only the worker itself can open it.
    """

    sources: tuple[Source, ...]
    required: tuple[str, ...]
    path: tuple[str, ...]
    argv: tuple[str, ...]
    url: str
    reachable: bool
    log_limit: int
    log_line_limit: int
    checkpoint_limit: int
    log_format: str | None = None
    start_file: str | None = None


class Work(msgspec.Struct, frozen=True, array_like=True, tag="work"):
    """An assignment: a claimed task, and what its beginning needs.

    `seq` numbers what this child is given. `slot` is its byte in the start file. It must not begin at or after
    `grant` (wall microseconds), when the worker no longer trusts its lease; `offset` is the worker's wall clock minus
    the host's tick clock.
    """

    seq: int
    slot: int
    grant: int
    offset: int
    id: str
    function: str
    payload: str
    run_at: int
    created_at: int
    queue: str
    priority: int
    version: int
    trace_id: str
    attempt: int
    failures: int
    crashes: int
    due: int
    timeout: int | None
    retries: int
    max_crashes: int
    backoff: dict[str, Any]
    retry_on: tuple[str, ...]
    retention: int
    checkpoint: str | None
    progress: str | None
    worker: str | None
    unique: Unique | None
    expires_at: int | None
    deadline: int | None
    extras: Extras | None


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """The child has loaded the application and knows these functions."""

    functions: tuple[str, ...]


class Unfit(msgspec.Struct, frozen=True, array_like=True, tag="unfit"):
    """The child cannot load the application; `detail` is a traceback for the worker's log."""

    error: str
    detail: str


class Began(msgspec.Struct, frozen=True, array_like=True, tag="began"):
    """A handler is about to be called. `at` is wall microseconds, `cpu` the child's CPU seconds so far."""

    seq: int
    at: int
    cpu: float


class Declined(msgspec.Struct, frozen=True, array_like=True, tag="declined"):
    """Not begun: the grant had run out, or the child does not know the function (`unknown`)."""

    seq: int
    unknown: bool


class Lines(msgspec.Struct, frozen=True, array_like=True, tag="lines"):
    """Log lines of the attempt."""

    seq: int
    lines: list[Line]


class Noted(msgspec.Struct, frozen=True, array_like=True, tag="noted"):
    """A checkpoint or progress of the attempt, as JSON texts."""

    seq: int
    checkpoint: str | None
    progress: str | None


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """The attempt's end: an outcome, field by field, and how the child stands (`took` microseconds, `rss` bytes)."""

    seq: int
    kind: str
    took: int
    rss: int
    usage: Usage
    result: str | None = None
    error: TaskError | None = None
    retry_after: int | None = None
    final: bool = False
    until: int = 0
    reason: str = ""
    message: str = ""
    blames: bool = True
    leave_alone: int | None = None


Down = Setup | Work
Up = Ready | Unfit | Began | Declined | Lines | Noted | Ended


class WireError(Exception):
    """The other end said what it should not."""


class Frames:
    """Cuts a stream of bytes into the bodies of its frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take more of the stream and yield the bodies that are complete; raises `WireError` for one too long."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= _HEAD:
                size = int.from_bytes(buffer[at : at + _HEAD])
                if size > FRAME_LIMIT:
                    raise WireError(f"a frame of {size} bytes")
                if len(buffer) - at - _HEAD < size:
                    return
                body = bytes(buffer[at + _HEAD : at + _HEAD + size])
                at += _HEAD + size
                yield body
        finally:
            del buffer[:at]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):  # a read-only view of one
        return dict(value)
    raise WireError(f"a {type(value).__name__} cannot travel")


_encode: Final = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_decode_setup: Final = msgspec.msgpack.Decoder(list[Setup]).decode
_decode_work: Final = msgspec.msgpack.Decoder(list[Work]).decode
_read_json: Final = msgspec.json.Decoder(msgspec.Raw).decode
_decode_up: Final = msgspec.msgpack.Decoder(list[Up]).decode


def frame(messages: Sequence[Down] | Sequence[Up]) -> bytes:
    """Return the messages as one frame."""
    body = _encode(messages)
    return len(body).to_bytes(_HEAD) + body


def read_setup(body: bytes) -> Setup:
    """Return the one message of the first frame down; raises `WireError`."""
    try:
        return _decode_setup(body)[0]
    except (msgspec.MsgspecError, IndexError) as error:
        raise WireError(str(error)) from None


def read_work(body: bytes) -> list[Work]:
    """Return the assignments of a frame down; raises `WireError`."""
    try:
        return _decode_work(body)
    except msgspec.MsgspecError as error:
        raise WireError(str(error)) from None


def read_up(body: bytes) -> list[Up]:
    """Return the messages of a frame up; raises `WireError`."""
    try:
        return _decode_up(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WireError(str(error)) from None


def check_json(text: str) -> None:
    """Raise `WireError` if a text is not JSON. Children write it with care, but a handler may have got at the line."""
    try:
        _read_json(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise WireError(str(error)) from None
    if "\\u0000" in text:
        raise WireError("a text with NUL")


def work_of(task: Task, seq: int, slot: int, grant: int, offset: int) -> Work:
    """Return what is sent for a claimed task."""
    spec, policy = task.spec, task.spec.policy
    return Work(
        seq=seq, slot=slot, grant=grant, offset=offset,
        id=spec.id, function=spec.function, payload=spec.payload, run_at=spec.run_at, created_at=spec.created_at,
        queue=spec.queue, priority=spec.priority, version=spec.version, trace_id=spec.trace_id,
        attempt=task.attempt, failures=task.failures, crashes=task.crashes, due=task.run_at,
        timeout=policy.timeout, retries=policy.retries, max_crashes=policy.max_crashes,
        backoff=backoff_to_dict(policy.backoff), retry_on=policy.retry_on, retention=policy.retention,
        checkpoint=task.checkpoint, progress=task.progress, worker=task.worker,
        unique=spec.unique, expires_at=spec.expires_at, deadline=spec.deadline,
        extras=None if spec.extras is NO_EXTRAS else spec.extras,
    )  # fmt: skip


def task_of(work: Work) -> Task:
    """Return the task as the child sees it."""
    policy = Policy(
        work.timeout,
        work.retries,
        work.max_crashes,
        backoff_from_dict(work.backoff),
        work.retry_on,
        work.retention,
    )
    spec = NewTask(
        id=work.id, function=work.function, payload=work.payload, run_at=work.run_at, created_at=work.created_at,
        policy=policy, queue=work.queue, executor="process", priority=work.priority, version=work.version,
        trace_id=work.trace_id, unique=work.unique, expires_at=work.expires_at, deadline=work.deadline,
        extras=work.extras or NO_EXTRAS,
    )  # fmt: skip
    return Task(
        spec, State.RUNNING, attempt=work.attempt, failures=work.failures, crashes=work.crashes, run_at=work.due,
        worker=work.worker, checkpoint=work.checkpoint, progress=work.progress,
    )  # fmt: skip


def ended_of(seq: int, outcome: Outcome, *, took: int, rss: int, usage: Usage) -> Ended:
    """Return what is sent for an outcome."""
    match outcome:
        case Succeeded():
            return Ended(seq, "succeeded", took, rss, usage, outcome.result)
        case Failed():
            return Ended(
                seq, "failed", took, rss, usage, None, outcome.error, outcome.retry_after, outcome.final,
                blames=outcome.blames, leave_alone=outcome.leave_alone,
            )  # fmt: skip
        case Snoozed():
            return Ended(seq, "snoozed", took, rss, usage, until=outcome.until)
        case Cancelled():
            return Ended(seq, "cancelled", took, rss, usage, reason=outcome.reason, message=outcome.message)
        case _:
            return Ended(seq, "released", took, rss, usage)


def outcome_of(ended: Ended) -> Outcome:
    """Return the outcome that was sent; raises `WireError` for one that is none, or that no store takes."""
    usage = ended.usage
    if ended.result is not None:
        check_json(ended.result)
    error = ended.error
    texts = (ended.message, ended.reason) if error is None else (error.type, error.message, error.stack, error.reason)
    if any("\0" in text for text in texts):
        raise WireError("a text with NUL")
    match ended.kind:
        case "succeeded":
            return Succeeded(ended.result, usage)
        case "failed" if ended.error is not None:
            return Failed(
                ended.error, ended.retry_after, ended.final, usage, blames=ended.blames, leave_alone=ended.leave_alone
            )
        case "snoozed":
            return Snoozed(ended.until, usage)
        case "cancelled":
            return Cancelled(ended.reason, ended.message, usage)
        case "released":
            return Released(usage=usage)
        case _:
            raise WireError(f"an end of kind {ended.kind!r}")
