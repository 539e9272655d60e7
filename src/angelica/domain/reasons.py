"""The closed list of reason codes: why an attempt ended badly, why a task ended, why a waiting task waits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

# Why an attempt ended badly, or a task was cancelled.
EXCEPTION: Final = "exception"
TIMEOUT: Final = "timeout"
FAIL: Final = "fail"
RETRY: Final = "retry"
INVALID_ARGUMENTS: Final = "invalid_arguments"
RESULT_NOT_SERIALISABLE: Final = "result_not_serialisable"
RESULT_TOO_LARGE: Final = "result_too_large"
CRASHED: Final = "crashed"
LEASE_EXPIRED: Final = "lease_expired"
POISON: Final = "poison"
EXPIRED: Final = "expired"
DEADLINE: Final = "deadline"
CANCELLED: Final = "cancelled"
OVERFLOW: Final = "overflow"
EXIT_CODE: Final = "exit_code"
OUT_OF_MEMORY: Final = "out_of_memory"
COMMAND_NOT_ALLOWED: Final = "command_not_allowed"
COMMAND_NOT_STARTED: Final = "command_not_started"

FAILURES: Final = frozenset(
    {
        EXCEPTION,
        TIMEOUT,
        FAIL,
        RETRY,
        INVALID_ARGUMENTS,
        RESULT_NOT_SERIALISABLE,
        RESULT_TOO_LARGE,
        CRASHED,
        LEASE_EXPIRED,
        POISON,
        EXPIRED,
        DEADLINE,
        CANCELLED,
        OVERFLOW,
        EXIT_CODE,
        OUT_OF_MEMORY,
        COMMAND_NOT_ALLOWED,
        COMMAND_NOT_STARTED,
    }
)

# Rules that hold a queued task (the stored `held`): one of these, or the gate of a limit (`domain.gates`), which is
# `function:NAME`, `limit:NAME` or `limit:NAME/KEY`.
UNKNOWN_FUNCTION: Final = "unknown_function"
NO_CAPABLE_WORKER: Final = "no_capable_worker"
NO_WORKER_FITS: Final = "no_worker_fits"
BREAKER_OPEN: Final = "breaker_open"

# What such a gate, or that of a queue, says.
QUEUE_PAUSED: Final = "queue_paused"
QUEUE_FULL: Final = "queue_full"
FUNCTION_FULL: Final = "function_full"
LIMIT_FULL: Final = "limit_full"
RATE: Final = "rate"

# Why an unfinished task is not running.
SCHEDULED: Final = "scheduled"
BACKOFF: Final = "backoff"
NO_WORKER: Final = "no_worker"
NO_ROOM: Final = "no_room"
AHEAD: Final = "ahead"
OVERLAP: Final = "overlap"
RUNNING: Final = "running"


@dataclass(frozen=True, slots=True)
class Start:
    """When a task will start: in one of ten cases before `p10`, in nine of ten before `p90`; moments."""

    p10: int
    p50: int
    p90: int


@dataclass(frozen=True, slots=True)
class Why:
    """Why a task waits: a code of this module, its parameters, its place in the line and links to what blocks it."""

    code: str
    params: dict[str, Any] = field(default_factory=dict)
    position: int | None = None
    blocking: tuple[str, ...] = ()
    text: str = ""
    start: Start | None = None
    """When it will start, where that can be said."""
