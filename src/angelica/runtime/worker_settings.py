"""What a worker needs to know before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from angelica.runtime.pulse import LeaseTimes


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs to know; durations in seconds, `checkpoint_limit` in bytes; `cap` bounds all slots."""

    async_slots: int
    thread_slots: int
    cap: int | None
    lease: LeaseTimes
    grace: float
    poll: float
    checkpoint_limit: int


def capacity_of(settings: WorkerSettings) -> Mapping[str, int]:
    """Return the slots by executor."""
    most = settings.cap
    slots = {"async": settings.async_slots, "thread": settings.thread_slots}
    return {kind: count if most is None else min(count, most) for kind, count in slots.items()}
