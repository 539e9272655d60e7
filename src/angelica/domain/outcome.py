"""Outcomes: the ways in which an attempt can end, as values; `usage` is what it took, where that was measured."""

from __future__ import annotations

from dataclasses import dataclass

from angelica.domain.task import TaskError
from angelica.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The handler returned; `result` is its value as JSON text."""

    result: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler raised, timed out or asked to fail.

    `retry_after` (microseconds) overrides the policy's backoff; `final` spends all retries at once. `blames` says
    whether what the task uses is to blame, for which `leave_alone` (microseconds) may ask to be left alone.
    """

    error: TaskError
    retry_after: int | None = None
    final: bool = False
    usage: Usage | None = None
    blames: bool = True
    leave_alone: int | None = None


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The handler asked for later, at no cost; `until` is microseconds since the epoch."""

    until: int
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The attempt was stopped on request, or asked for it; `reason` is a code, `message` free text."""

    reason: str = "cancelled"
    message: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """Handed back unharmed, at no cost. `held` parks the task under a rule (see `domain.reasons`)."""

    held: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class LeaseExpired:
    """The worker stopped renewing its lease while the handler was running."""

    worker: str = ""


@dataclass(frozen=True, slots=True)
class Crashed:
    """The process that ran the handler died."""

    error: TaskError
    usage: Usage | None = None


Outcome = Succeeded | Failed | Snoozed | Cancelled | Released | LeaseExpired | Crashed
