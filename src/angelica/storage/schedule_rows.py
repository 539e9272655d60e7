"""The row codec of schedules: definitions and fire records to JSON values and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Final, TypeVar

from angelica.domain.fire import delete_at
from angelica.domain.schedule import (
    CatchUp,
    FireRecord,
    Overlap,
    Phase,
    Rules,
    RunSpec,
    Schedule,
    SkipReason,
    TriggerSpec,
)
from angelica.domain.trigger import is_delay
from angelica.domain.value import maker
from angelica.storage.rows import extras_of, extras_text, from_json, policy_of, policy_text, to_json
from angelica.storage.schedule_rules import keep_fires, runs_seen

T = TypeVar("T")

_CACHE_BOUND: Final = 4096
_schedule: Final[Callable[..., Schedule]] = maker(Schedule)
_record: Final[Callable[..., FireRecord]] = maker(FireRecord)
_PHASES: Final[Mapping[str, Phase]] = {str(phase): phase for phase in Phase}
_REASONS: Final[Mapping[str | None, SkipReason | None]] = {None: None} | {str(reason): reason for reason in SkipReason}

# Equal texts give the same object: most schedules of a store share their rules, and many their trigger.
_triggers: Final[dict[str, TriggerSpec]] = {}
_rules: Final[dict[str, Rules]] = {}


def schedule_row(schedule: Schedule) -> tuple[object, ...]:
    """Return the columns of a schedule, in the order of the verb `put_schedules`."""
    return (
        schedule.id,
        schedule.phase,
        schedule.phase_reason,
        schedule.next_fire_at,
        schedule.last_fire_at,
        schedule.version,
        schedule.runs,
        schedule.streak,
        int(is_delay(schedule)),
        runs_seen(schedule),
        keep_fires(schedule.rules),
        delete_at(schedule),
        schedule.paused_at,
        schedule.run.function,
        schedule.owner,
        schedule.anchor,
        schedule.created_at,
        schedule.updated_at,
        schedule.seen_at,
        schedule.tz_version,
        _text(schedule.trigger, _TRIGGER),
        _run_text(schedule.run),
        _text(schedule.rules, _RULES),
        schedule.declared,
        schedule.override,
    )


def state_row(schedule: Schedule) -> tuple[object, ...]:
    """Return the columns that firing and settling change, in the order of the verb `move_schedules`."""
    return (
        schedule.id,
        schedule.phase,
        schedule.phase_reason,
        schedule.next_fire_at,
        schedule.last_fire_at,
        schedule.runs,
        schedule.streak,
        schedule.paused_at,
        delete_at(schedule),
    )


def schedule_of(row: Sequence[Any]) -> Schedule:
    """Return the schedule of a row as the fragment `schedule` of the SQL gives it."""
    (id_, trigger, run, rules, phase, *rest) = row
    return _schedule(
        id_,
        _triggers.get(trigger) or _trigger_of(trigger),
        _run_of(run),
        _rules.get(rules) or _rules_of(rules),
        _PHASES[phase],
        *rest,
    )


def fire_row(record: FireRecord, slot: str, keep_until: int) -> tuple[object, ...]:
    """Return the columns of a fire record, in the order of the verb `put_fires`."""
    return (
        record.schedule_id,
        record.fire_time,
        slot,
        record.kind,
        record.task_id,
        record.reason,
        record.last,
        record.count,
        record.recorded_at,
        keep_until,
    )


def record_of(row: Sequence[Any]) -> FireRecord:
    """Return the fire record of a row as the fragment `fire` of the SQL gives it."""
    schedule_id, fire_time, kind, task_id, reason, last, count, recorded_at = row
    return _record(schedule_id, fire_time, kind, task_id, _REASONS[reason], last, count, recorded_at)


def _defaults(cls: type[Any]) -> tuple[tuple[str, object], ...]:
    return tuple((part.name, None if part.default is MISSING else part.default) for part in fields(cls))


_TRIGGER: Final = _defaults(TriggerSpec)
_RULES: Final = _defaults(Rules)
_RUN: Final = tuple(pair for pair in _defaults(RunSpec) if pair[0] not in {"policy", "extras"})


def _text(value: object, parts: Sequence[tuple[str, object]]) -> str:
    """Return what is not left at its default: a later version may know more parts, and an earlier one fewer."""
    return to_json({name: given for name, usual in parts if (given := getattr(value, name)) != usual})


def _known(text: str, parts: Sequence[tuple[str, object]]) -> dict[str, Any]:
    kept = from_json(text)
    return {name: kept[name] for name, _ in parts if name in kept}


def _keep(cache: dict[str, T], text: str, value: T) -> T:
    if len(cache) >= _CACHE_BOUND:
        cache.clear()
    cache[text] = value
    return value


def _trigger_of(text: str) -> TriggerSpec:
    return _keep(_triggers, text, TriggerSpec(**_known(text, _TRIGGER)))


def _rules_of(text: str) -> Rules:
    kept = _known(text, _RULES)
    if "overlap" in kept:
        kept["overlap"] = Overlap(kept["overlap"])
    if "catch_up" in kept:
        kept["catch_up"] = CatchUp(kept["catch_up"])
    return _keep(_rules, text, Rules(**kept))


def _run_text(run: RunSpec) -> str:
    kept = {name: given for name, usual in _RUN if (given := getattr(run, name)) != usual}
    return to_json([kept, policy_text(run.policy), extras_text(run.extras)])


def _run_of(text: str) -> RunSpec:
    kept, policy, extras = from_json(text)
    known = {name: kept[name] for name, _ in _RUN if name in kept}
    return RunSpec(**known, policy=policy_of(policy), extras=extras_of(extras))
