"""Firing: from a due schedule, the moment and its unfinished runs to what is written; a pure function."""

from __future__ import annotations

from angelica.clock import Now
from angelica.domain.schedule import Firing, Schedule, Unfinished


def fire(schedule: Schedule, *, now: Now, unfinished: Unfinished) -> Firing:
    """Return what a pass over `schedule` at `now` decides; `schedule.next_fire_at` is not None and not after now.

    Order (each fire gets a run or a reason): bounds, pause, catch-up, overlap, `max_runs`. At most about 1,000 fires
    run in one pass: where `Firing.next_fire_at` is still due, the next pass goes on. A schedule that is paused stays
    so: what is due is recorded as `paused`.

    An edit that moves `next_fire_at` loses what is due and not decided yet: write a firing first.
    """
    raise NotImplementedError


def resume(schedule: Schedule, *, now: Now, unfinished: Unfinished, catch_up: bool = False) -> Firing:
    """Return the firing that makes a paused or orphaned schedule active and decides what fell due meanwhile.

    Fires since `paused_at` are recorded as `paused`, those before it are decided by the policies; with `catch_up` all
    of them are. `schedule.next_fire_at` is not None (else there is nothing to decide: put the phase alone).
    """
    raise NotImplementedError


def settle(schedule: Schedule, *, ended_at: int, failed: bool | None, unfinished_left: int) -> Schedule:
    """Return `schedule` after one of its runs has ended (terminally, in whatever way: also one cancelled or lapsed).

    `failed` is None for a cancelled run, which counts neither as a failure nor as a success. `unfinished_left` is how
    many runs of the schedule are unfinished after this end. Changes `streak`, pauses after `pause_after_failures` in a
    row (phase, reason, `paused_at`), and arms a `delay` schedule again where no run is left. Returns `schedule` itself
    where nothing changes.
    """
    raise NotImplementedError


def delete_at(schedule: Schedule) -> int | None:
    """Return when a completed schedule is to be deleted (`delete_after` past its last fire), None if never."""
    raise NotImplementedError


def task_id_of(schedule_id: str, fire_time: int) -> str:
    """Return the id of the run of a fire: the same on every node, so that a repeat cannot make a second task."""
    raise NotImplementedError
