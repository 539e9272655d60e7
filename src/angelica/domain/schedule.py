"""The schedule: a durable recurring definition (what to run, when, and under which policies) and where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from angelica.clock import SECOND
from angelica.domain.task import NO_EXTRAS, Extras, NewTask, Policy

GRACE: Final = 10 * SECOND
MAX_CATCHUP: Final = 100
MAX_QUEUED: Final = 1_000
SOURCE: Final = "$source"
"""The member of `Schedule.declared` that names the code which declares it; stores find schedules by it."""


class Phase(StrEnum):
    """Where a schedule stands. Only `active` ones fire."""

    ACTIVE = "active"
    PAUSED = "paused"
    ORPHANED = "orphaned"
    """Declared by code that has gone: shown, paused, not deleted."""
    COMPLETED = "completed"
    """It has no further fire: `at` has passed, `max_runs` or `end_at` is reached."""


class CatchUp(StrEnum):
    """What becomes of fires found later than `grace`."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a fire while runs of the schedule are unfinished."""

    SKIP = "skip"
    ALLOW = "allow"
    QUEUE_ONE = "queue_one"
    QUEUE_ALL = "queue_all"
    CANCEL = "cancel"


class SkipReason(StrEnum):
    """Why a fire did not run; each such fire has one recorded."""

    MISSED = "missed"
    CAPPED = "capped"
    OVERLAP = "overlap"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class TriggerSpec:
    """When to fire, as it was written; exactly one of `cron`, `every`, `at`, `repeat` is set.

    `cron` is a schedule text of the specification (5, 6, 7 fields, macros, `@every`, prefix), `every` a duration and
    `at` a moment in microseconds, `repeat` an ISO 8601 text (`R5/…/P1M`). `mode` concerns `every` alone: `rate` fires
    on the grid anchor + k·d, `delay` d after the end of the last run.
    """

    cron: str | None = None
    every: int | None = None
    at: int | None = None
    repeat: str | None = None
    timezone: str | None = None
    dialect: Literal["standard", "quartz"] = "standard"
    day_match: Literal["auto", "any", "all"] = "auto"
    mode: Literal["rate", "delay"] = "rate"


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What each fire makes: the parts of a task. `payload` is the JSON text of its arguments."""

    function: str
    payload: str = '{"args":[],"kwargs":{}}'
    policy: Policy = field(default_factory=Policy)
    queue: str = "default"
    executor: Literal["async", "thread", "process", "command"] = "async"
    priority: int = 0
    version: int = 1
    extras: Extras = NO_EXTRAS


@dataclass(frozen=True, slots=True)
class Rules:
    """The policies. Durations and moments in microseconds; None = no bound.

    `catchup_window` None means unlimited for missed fires. `jitter` delays `run_at` by up to so much, the same on
    every node; `jitter_mode` `fixed` by the schedule alone, `each` by the fire too. `delete_after`: a completed
    schedule is deleted so long after its last fire.
    """

    start_at: int | None = None
    end_at: int | None = None
    max_runs: int | None = None
    overlap: Overlap = Overlap.SKIP
    max_running: int | None = None
    catch_up: CatchUp = CatchUp.LATEST
    grace: int = GRACE
    catchup_window: int | None = None
    max_catchup: int = MAX_CATCHUP
    jitter: int = 0
    jitter_mode: Literal["each", "fixed"] = "each"
    pause_after_failures: int | None = None
    delete_after: int | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as the storage knows it; `trigger`, `run` and `rules` are the effective definition.

    `declared` and `override` are the JSON texts of what the code declared and what operators edited (None: nothing);
    `version` counts definition edits only. `anchor` is the grid of `every`. `seen_at` is when code last declared it.
    `runs` counts scheduled runs that started; `streak` failures in a row. `next_fire_at` is None where nothing is due
    (completed, or a `delay` schedule whose run has not ended); `last_fire_at` is the newest fire that was decided,
    run or skipped.
    """

    id: str
    trigger: TriggerSpec
    run: RunSpec
    rules: Rules = field(default_factory=Rules)
    phase: Phase = Phase.ACTIVE
    phase_reason: str = ""
    version: int = 1
    next_fire_at: int | None = None
    last_fire_at: int | None = None
    anchor: int = 0
    created_at: int = 0
    updated_at: int = 0
    paused_at: int | None = None
    runs: int = 0
    streak: int = 0
    owner: Literal["api", "code"] = "api"
    declared: str | None = None
    override: str | None = None
    seen_at: int | None = None
    tz_version: str = ""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The schedule's runs that have not ended (manual ones, retries and waiting ones too), oldest first."""

    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.running) + len(self.waiting)


@dataclass(frozen=True, slots=True)
class Fire:
    """One due moment made into a task. `after` names the unfinished run that it waits for (overlap `queue_…`)."""

    fire_time: int
    task: NewTask
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A run of equal reasons: fires from `first` to `last` (microseconds), `count` of them."""

    reason: SkipReason
    first: int
    last: int
    count: int


@dataclass(frozen=True, slots=True)
class Firing:
    """What one pass over a due schedule decides; written only if `next_fire_at`, `version`, `phase` are as `seen…`.

    The phase is compared because pausing changes neither of the other two: a firing that was decided before the pause
    must not undo it. A firing from `paused` (or `orphaned`) to another phase is a resume, and also clears `paused_at`
    and `streak`. `last_fire_at` is the newest fire that was decided, run or skipped.
    """

    schedule_id: str
    seen_next: int
    seen_version: int
    next_fire_at: int | None
    last_fire_at: int | None
    runs: int
    phase: Phase
    phase_reason: str = ""
    fires: tuple[Fire, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    cancel: tuple[str, ...] = ()
    seen_phase: Phase = Phase.ACTIVE


FireKind = Literal["scheduled", "manual", "backfill"]


@dataclass(frozen=True, slots=True)
class FireRecord:
    """One row of a schedule's history: a run (`task_id` set), or a span of fires that did not run (`reason` set)."""

    schedule_id: str
    fire_time: int
    kind: FireKind
    task_id: str | None = None
    reason: SkipReason | None = None
    last: int | None = None
    count: int = 1
    recorded_at: int = 0
