"""What a worker needs to know."""

from __future__ import annotations

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
