"""The overlap policy: whether one more run of a schedule may stand beside those that have not ended."""

from __future__ import annotations

from angelica.domain.schedule import MAX_QUEUED, Overlap, Schedule, Unfinished
from angelica.domain.trigger import is_delay


class Standing:
    """The unfinished runs of a schedule as a pass sees them, its own new ones included."""

    __slots__ = ("_cancel", "_limit", "_overlap", "_running", "_waiting")

    def __init__(self, schedule: Schedule, unfinished: Unfinished) -> None:
        # The interval of `delay` begins when the last run ends: two of them at once cannot be.
        self._overlap = Overlap.SKIP if is_delay(schedule) else schedule.rules.overlap
        self._limit = schedule.rules.max_running
        self._running = list(unfinished.running)
        self._waiting = list(unfinished.waiting)
        self._cancel: tuple[str, ...] = ()

    @property
    def cancel(self) -> tuple[str, ...]:
        """The runs that are asked to stop."""
        return self._cancel

    def admits(self, *, newest: bool) -> bool:
        """Say whether one more run may be made; `newest`: no later fire of this pass would run."""
        match self._overlap:
            case Overlap.SKIP:
                return not self._running and not self._waiting
            case Overlap.ALLOW:
                return self._limit is None or len(self._running) + len(self._waiting) < self._limit
            case Overlap.QUEUE_ONE:
                return not self._waiting
            case Overlap.QUEUE_ALL:
                return len(self._waiting) < MAX_QUEUED
            case Overlap.CANCEL:
                # Each fire would stop the one before it, so only the last one is worth starting.
                return newest

    def enter(self, task_id: str) -> str | None:
        """Add a run and return the unfinished run that it waits for, if it must."""
        after: str | None = None
        if self._overlap is Overlap.CANCEL:
            # The run that stops is waited for, not one that only waited: its end would come at once.
            after = self._running[-1] if self._running else None
            self._cancel = (*self._running, *self._waiting)
        elif self._overlap in {Overlap.QUEUE_ONE, Overlap.QUEUE_ALL}:
            after = next(iter((*self._waiting[-1:], *self._running[-1:])), None)
        (self._running if after is None else self._waiting).append(task_id)
        return after
