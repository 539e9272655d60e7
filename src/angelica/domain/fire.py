"""Firing: from a due schedule, the moment and its unfinished runs to what is written; a pure function."""

from __future__ import annotations

from angelica.clock import Now
from angelica.domain.schedule import Firing, Schedule, Unfinished


def fire(schedule: Schedule, *, now: Now, unfinished: Unfinished) -> Firing:
    """Return what a pass over `schedule` at `now` decides; `schedule.next_fire_at` is not None and not after now.

    Order (each fire gets a run or a reason): bounds, pause, catch-up, overlap, `max_runs`.
    """
    raise NotImplementedError


def task_id_of(schedule_id: str, fire_time: int) -> str:
    """Return the id of the run of a fire: the same on every node, so that a repeat cannot make a second task."""
    raise NotImplementedError
