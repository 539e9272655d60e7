"""The schemas of schedules in the API document."""

from __future__ import annotations

from typing import Final

from angelica.domain.schedule import CatchUp, Overlap, Phase
from angelica.http.schema_forms import (
    DURATION,
    FLAG,
    INTEGER,
    MOMENT,
    NUMBER,
    TEXT,
    Schema,
    listed,
    nullable,
    ref,
    thing,
)

WHEN: Final[Schema] = {
    "type": "string",
    "description": "RFC 3339; without an offset on the clocks of `timezone`.",
}
POSITIVE: Final[Schema] = {"type": "integer", "minimum": 1}
OBJECT: Final[Schema] = {"type": "object"}
ID: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"}

TRIGGER: Final[dict[str, Schema]] = {
    "cron": {"type": "string", "maxLength": 512, "description": "5, 6 or 7 fields, a macro, or `@every 90s`."},
    "every": DURATION,
    "at": WHEN,
    "in": DURATION,
    "repeat": {"type": "string", "description": "ISO 8601: `R5/2026-01-31T09:00/P1M`."},
    "timezone": {"type": "string", "default": "UTC", "description": "An IANA name, or an offset such as +08:00."},
    "dialect": {"enum": ["standard", "quartz"], "default": "standard"},
    "day_match": {"enum": ["auto", "any", "all"], "default": "auto"},
    "mode": {"enum": ["rate", "delay"], "default": "rate", "description": "Of `every`: a grid, or from end to start."},
}
RULES: Final[dict[str, Schema]] = {
    "start_at": WHEN,
    "end_at": WHEN,
    "max_runs": POSITIVE,
    "overlap": {"enum": [each.value for each in Overlap], "default": "skip"},
    "max_running": POSITIVE,
    "catch_up": {"enum": [each.value for each in CatchUp], "default": "latest"},
    "grace": {**DURATION, "default": "10s"},
    "catchup_window": DURATION,
    "max_catchup": {**POSITIVE, "default": 100},
    "jitter": {**DURATION, "default": 0},
    "jitter_mode": {"enum": ["each", "fixed"], "default": "each"},
    "pause_after_failures": POSITIVE,
    "delete_after": DURATION,
    "enabled": {**FLAG, "default": True},
}
RUN: Final[dict[str, Schema]] = {
    "name": {"type": "string", "description": "The function."},
    "args": {"type": "array"},
    "kwargs": OBJECT,
    "task": {"type": "object", "description": "Members of a task: queue, priority, timeout, retries, labels, …"},
}
_DEFINITION: Final = {**RUN, **TRIGGER, **RULES}


def _optional(members: dict[str, Schema]) -> dict[str, Schema]:
    return {name: nullable(schema) for name, schema in members.items()}


WORDS: Final = thing("Words.", "code params en zh", code=TEXT, params=OBJECT, en=TEXT, zh=TEXT)
WORDS_LIST: Final[Schema] = {"type": "array", "items": ref("Words")}
TIME: Final = thing(
    "A moment in UTC and on local clocks.",
    "time local offset",
    time=MOMENT,
    local=TEXT,
    offset=TEXT,
    mark=nullable({"enum": ["after_gap", "first_pass", "second_pass"]}),
    offset_changed=FLAG,
)
TIMES: Final[Schema] = {"type": "array", "items": ref("FireTime")}

NEW_SCHEDULE: Final = {
    **thing(
        "What is to run, and when: one of cron, every, at, in, repeat. Unknown members are refused.",
        "name",
        schedule_id=ID,
        **{name: schema if name == "name" else nullable(schema) for name, schema in _DEFINITION.items()},
    ),
    "additionalProperties": False,
}

SCHEDULE: Final = thing(
    "A schedule: its definition in full (durations in seconds), and where it stands. Lists have no warnings.",
    "schedule_id name state version description next_times",
    **{name: {} if name in ("args", "kwargs", "task") else nullable({}) for name in _DEFINITION if name != "in"},
    schedule_id=TEXT,
    state={"enum": [phase.value for phase in Phase]},
    state_reason=nullable(TEXT),
    description=ref("Words"),
    warnings=WORDS_LIST,
    next_fire_time=nullable(MOMENT),
    next_times=TIMES,
    last_fire_time=nullable(MOMENT),
    last_fire=nullable(ref("Fire")),
    runs=INTEGER,
    failures_in_a_row=INTEGER,
    owner={"enum": ["api", "code"]},
    created_by=nullable(TEXT),
    version=INTEGER,
    create_time=MOMENT,
    update_time=MOMENT,
    pause_time=nullable(MOMENT),
    seen_time=nullable(MOMENT),
    links=OBJECT,
)

FIRE: Final = thing(
    "A fire that ran (`task_id`), or fires that did not (`reason`, from `fire_time` to `last_time`, `count` of them).",
    "fire_time kind count",
    fire_time=MOMENT,
    last_time=nullable(MOMENT),
    count=INTEGER,
    kind={"enum": ["scheduled", "manual", "backfill"]},
    reason=nullable(TEXT),
    task_id=nullable(TEXT),
    record_time=MOMENT,
    links=OBJECT,
)

SCHEMAS: Final[dict[str, Schema]] = {
    "Words": WORDS,
    "FireTime": TIME,
    "NewSchedule": NEW_SCHEDULE,
    "Schedule": SCHEDULE,
    "ScheduleList": listed(ref("Schedule"), next_cursor=nullable(TEXT)),
    "ScheduleChanges": thing(
        "A merge patch (RFC 7396): null takes a member away. `version` refuses an edit of another version (409).",
        version=nullable(POSITIVE),
        **_optional(_DEFINITION),
    ),
    "ScheduleBatch": thing(
        "What a file declares. `revision` (a moment) says how new it is; older than what stands is ignored.",
        "schedules",
        source={"type": "string", "description": "Where they stand: what else is declared there has gone."},
        revision=nullable(MOMENT),
        schedules={"type": "array", "items": ref("NewSchedule")},
        redeclare={**FLAG, "default": False},
        dry_run={**FLAG, "default": False},
    ),
    "ScheduleBatchAnswer": listed(OBJECT),
    "Fire": FIRE,
    "FireList": listed(ref("Fire"), next_before=nullable(MOMENT)),
    "NextFires": listed(ref("FireTime"), schedule_id=TEXT, state=TEXT, timezone=TEXT),
    "Preview": thing(
        "What a schedule means.",
        "description next_times warnings",
        timezone=TEXT,
        description=ref("Words"),
        next_times=TIMES,
        warnings=WORDS_LIST,
    ),
    "PreviewOptions": thing(
        "A definition; the name may be left out.",
        count=nullable({"type": "integer", "minimum": 1, "maximum": 1000, "default": 10}),
        after=nullable(MOMENT),
        **_optional(_DEFINITION),
    ),
    "RehearseOptions": thing(
        "A definition, and how far to look.", "name", past=nullable(DURATION), future=nullable(DURATION), **_DEFINITION
    ),
    "Rehearsal": thing(
        "When it would have fired, and will.",
        "past future",
        timezone=TEXT,
        description=ref("Words"),
        warnings=WORDS_LIST,
        past=TIMES,
        future=TIMES,
        typical_run=nullable(NUMBER),
        overlaps=INTEGER,
        truncated=FLAG,
    ),
    "Calendar": listed(
        thing("A stretch of time.", "time count", time=MOMENT, count=INTEGER, schedules={"type": "array"}),
        **{"from": MOMENT},
        to=MOMENT,
        step=NUMBER,
        schedules=INTEGER,
        truncated=FLAG,
    ),
    "PauseOptions": thing("Why.", reason=nullable({"type": "string", "maxLength": 1000})),
    "ResumeOptions": thing("How.", catch_up=nullable({**FLAG, "default": False})),
    "ResetOptions": thing("Which field; all without it.", field=nullable(TEXT)),
    "TriggerOptions": thing("Members of a task that differ this once; `kwargs` are laid over the schedule's."),
    "BackfillOptions": thing(
        "Which fires: those in [from, to) that have no run, or all with `force`.",
        "from to",
        **{"from": MOMENT},
        to=MOMENT,
        force=nullable({**FLAG, "default": False}),
        dry_run=nullable({**FLAG, "default": False}),
        overlap=nullable({"enum": ["queue_all", "allow"], "default": "queue_all"}),
    ),
    "Operation": thing(
        "Work over many things.",
        "operation_id kind state total done",
        operation_id=TEXT,
        kind=TEXT,
        state={"enum": ["planned", "running", "succeeded", "failed"]},
        total=INTEGER,
        done=INTEGER,
        skipped=INTEGER,
        create_time=MOMENT,
        end_time=nullable(MOMENT),
        error=nullable(TEXT),
        detail=OBJECT,
        links=OBJECT,
    ),
    "AddOptions": thing("A schedule in other words.", "spec job", spec=TEXT, job=TEXT),
    "Added": thing("It is stored.", "status job_id", status={"const": "added"}, job_id=TEXT),
    "ScheduleOptions": thing(
        "A schedule in other words.", "taskId taskName cronExpression", taskId=ID, taskName=TEXT, cronExpression=TEXT
    ),
    "Scheduled": thing(
        "It is stored.", "status schedule_id", status={"const": "scheduled"}, schedule_id=TEXT, message=TEXT
    ),
}
