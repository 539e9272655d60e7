"""What a worker needs to know before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from angelica.runtime.pulse import LeaseTimes
from angelica.runtime.warm.crew import ProcessSettings


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Durations in seconds, `checkpoint_limit` in bytes; `cap` bounds all slots; `processes` None serves none."""

    async_slots: int
    thread_slots: int
    cap: int | None
    lease: LeaseTimes
    grace: float
    poll: float
    checkpoint_limit: int
    processes: ProcessSettings | None = None


def capacity_of(settings: WorkerSettings) -> Mapping[str, int]:
    """Return the slots by executor."""
    most = settings.cap
    slots = {"async": settings.async_slots, "thread": settings.thread_slots}
    if settings.processes is not None:
        slots["process"] = settings.processes.slots
    return {kind: count if most is None else min(count, most) for kind, count in slots.items()}
