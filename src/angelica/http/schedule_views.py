"""Views of schedules: a definition with where it stands, in words, times, fires and warnings, as clients see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from angelica.clock import SECOND
from angelica.domain.cron.evaluate import Trigger
from angelica.domain.cron.interval import Every
from angelica.domain.cron.local import local_of
from angelica.domain.cron.words import Words, describe
from angelica.domain.cron.zones import Zone, find_zone
from angelica.domain.retry import backoff_to_dict
from angelica.domain.schedule import FireRecord, Phase, Rules, RunSpec, Schedule, TriggerSpec
from angelica.domain.trigger import evaluator, trigger_of, upcoming_fires
from angelica.http.views import moment, redact
from angelica.runtime.forecast import cautions

SHOWN: Final = 5
"""So many next fires are shown with a schedule."""


def schedule_view(schedule: Schedule, base: str, *, now: int, listed: bool = False) -> dict[str, Any]:
    """Return the view of a schedule. Moments are RFC 3339 in UTC, durations seconds; what is not set is null.

    `listed` shows one fire to come and leaves the warnings out.
    """
    trigger = evaluator(schedule)
    zone = zone_of(trigger, schedule.trigger.timezone)
    path = f"{base}/schedules/{schedule.id}"
    fires = upcoming_fires(schedule, after=now, count=1 if listed else SHOWN)
    return {
        "schedule_id": schedule.id,
        "name": schedule.run.function,
        **_arguments(schedule.run),
        **_trigger(schedule.trigger),
        **_rules(schedule.rules),
        "enabled": schedule.phase in (Phase.ACTIVE, Phase.COMPLETED),
        "task": _task(schedule.run),
        "state": schedule.phase.value,
        "state_reason": schedule.phase_reason or None,
        "description": _described(schedule.trigger),
        **({} if listed else {"warnings": [words_view(words) for words in cautions(schedule)]}),
        "next_fire_time": _moment(schedule.next_fire_at),
        "next_times": time_views(fires, zone, before=now),
        "last_fire_time": _moment(schedule.last_fire_at),
        "runs": schedule.runs,
        "failures_in_a_row": schedule.streak,
        "owner": schedule.owner,
        "created_by": schedule.run.extras.created_by,
        "version": schedule.version,
        "create_time": moment(schedule.created_at),
        "update_time": moment(schedule.updated_at),
        "pause_time": _moment(schedule.paused_at),
        "seen_time": _moment(schedule.seen_at),
        "links": {
            "self": path,
            **{name: f"{path}/{name}" for name in ("next", "fires", "trigger", "pause", "resume", "backfill")},
        },
    }


@lru_cache(maxsize=4096)
def _described(spec: TriggerSpec) -> dict[str, Any]:
    return words_view(describe(trigger_of(spec)))


def zone_of(trigger: Trigger, timezone: str | None = None) -> Zone:
    """Return the zone whose clocks the fires are shown on."""
    return find_zone(timezone or "UTC") if isinstance(trigger, Every) else trigger.zone


def words_view(words: Words) -> dict[str, Any]:
    """Return words as a code with parameters, in English and Chinese."""
    return {"code": words.code, "params": words.params, "en": words.en, "zh": words.zh}


def time_views(fires: Iterable[int], zone: Zone, *, before: int | None = None) -> list[dict[str, Any]]:
    """Return moments in UTC and on the clocks of a zone.

    `mark` says what the clocks do there (see `domain.cron.local`); `offset_changed` that the offset is not the one
    of the time before it (the first compares with `before`).
    """
    views: list[dict[str, Any]] = []
    offset = None if before is None else local_of(zone, before).offset
    for fire in fires:
        shown = local_of(zone, fire)
        changed = offset is not None and shown.offset != offset
        offset = shown.offset
        views.append(
            {
                "time": moment(fire),
                "local": shown.text,
                "offset": shown.offset,
                "mark": shown.mark,
                "offset_changed": changed,
            }
        )
    return views


def fire_view(record: FireRecord, base: str) -> dict[str, Any]:
    """Return one record of the history: a run with its task, or a span of fires that did not run, with the reason."""
    return {
        "fire_time": moment(record.fire_time),
        "last_time": _moment(record.last),
        "count": record.count,
        "kind": record.kind,
        "reason": None if record.reason is None else record.reason.value,
        "task_id": record.task_id,
        "record_time": moment(record.recorded_at),
        "links": {} if record.task_id is None else {"task": f"{base}/tasks/{record.task_id}"},
    }


def _arguments(run: RunSpec) -> dict[str, Any]:
    payload = msgspec.json.decode(run.payload, type=dict[str, msgspec.Raw])
    return {
        "args": payload.get("args", msgspec.Raw(b"[]")),
        "kwargs": payload.get("kwargs", msgspec.Raw(b"{}")),
    }


def _trigger(spec: TriggerSpec) -> dict[str, Any]:
    return {
        "cron": spec.cron,
        "every": _seconds(spec.every),
        "at": _moment(spec.at),
        "repeat": spec.repeat,
        "timezone": spec.timezone or "UTC",
        "dialect": spec.dialect,
        "day_match": spec.day_match,
        "mode": spec.mode,
    }


def _rules(rules: Rules) -> dict[str, Any]:
    return {
        "start_at": _moment(rules.start_at),
        "end_at": _moment(rules.end_at),
        "max_runs": rules.max_runs,
        "overlap": rules.overlap.value,
        "max_running": rules.max_running,
        "catch_up": rules.catch_up.value,
        "grace": _seconds(rules.grace),
        "catchup_window": _seconds(rules.catchup_window),
        "max_catchup": rules.max_catchup,
        "jitter": _seconds(rules.jitter),
        "jitter_mode": rules.jitter_mode,
        "pause_after_failures": rules.pause_after_failures,
        "delete_after": _seconds(rules.delete_after),
    }


def _task(run: RunSpec) -> Mapping[str, Any]:
    policy, extras = run.policy, run.extras
    return {
        "queue": run.queue,
        "priority": run.priority,
        "version": run.version,
        "executor": run.executor,
        "timeout": _seconds(policy.timeout),
        "retries": policy.retries,
        "max_crashes": policy.max_crashes,
        "backoff": backoff_to_dict(policy.backoff),
        "retry_on": policy.retry_on,
        "result_ttl": _seconds(policy.retention),
        "labels": dict(extras.labels),
        "headers": redact(extras.headers),
        "extensions": dict(extras.extensions),
    }


def _moment(micros: int | None) -> str | None:
    return None if micros is None else moment(micros)


def _seconds(micros: int | None) -> float | None:
    return None if micros is None else micros / SECOND
