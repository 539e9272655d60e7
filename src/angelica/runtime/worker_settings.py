"""What a worker needs to know before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from angelica.domain.command import AllowList
from angelica.domain.resources import Capacity
from angelica.runtime.pulse import LeaseTimes
from angelica.runtime.warm.crew import ProcessSettings


@dataclass(frozen=True, slots=True)
class CommandSettings:
    """How many commands run at a time, and which."""

    slots: int
    allowed: AllowList


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Durations in seconds, `checkpoint_limit` in bytes; `cap` bounds all slots; `processes` None serves none.

    Nor does `commands` None. `capacity` is what is given to tasks that say what they need.
    """

    async_slots: int
    thread_slots: int
    cap: int | None
    lease: LeaseTimes
    grace: float
    poll: float
    checkpoint_limit: int
    processes: ProcessSettings | None = None
    commands: CommandSettings | None = None
    capacity: Capacity = field(default_factory=Capacity)


def capacity_of(settings: WorkerSettings) -> Mapping[str, int]:
    """Return the slots by executor."""
    most = settings.cap
    slots = {"async": settings.async_slots, "thread": settings.thread_slots}
    if settings.processes is not None:
        slots["process"] = settings.processes.slots
    if settings.commands is not None:
        slots["command"] = settings.commands.slots
    return {kind: count if most is None else min(count, most) for kind, count in slots.items()}
