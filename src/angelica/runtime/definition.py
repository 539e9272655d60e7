"""The definition of a schedule: what code declared, what operators edited, and what is in force of the two.

Both are kept as JSON texts in the normal form of `ScheduleDraft.form`. A schedule that was made over the API has no
declared part: its override is all of it. In an override of declared fields, null takes the declared value away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from angelica import strict_json
from angelica.domain.cron.evaluate import first_fire
from angelica.domain.schedule import SOURCE, Phase, RunSpec, Schedule, TriggerSpec
from angelica.domain.trigger import anchor_of, evaluator, first_fire_at
from angelica.errors import InvalidValue
from angelica.runtime.schedule_drafts import TRIGGERS, ScheduleDraft
from angelica.runtime.schedule_fields import merged, moment_text
from angelica.runtime.zonedata import zone_data

OF_TRIGGER: Final = (*TRIGGERS, "mode", "dialect", "day_match")
"""Fields that go together: who gives a trigger gives all of it."""

_REVISION: Final = "$revision"


def plain(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return a form as it comes back from the store."""
    return dict(strict_json.loads(strict_json.dumps(dict(form))))


def declared_text(form: Mapping[str, Any], source: str, revision: int) -> str:
    """Return the text of what code declares: the form, where it comes from, and how new that code is."""
    return strict_json.dumps({**form, SOURCE: source, _REVISION: revision})


def declared_form(schedule: Schedule) -> dict[str, Any]:
    """Return what code declared, empty if it was none."""
    form: dict[str, Any] = strict_json.loads(schedule.declared) if schedule.declared else {}
    return {key: value for key, value in form.items() if not key.startswith("$")}


def declared_by(schedule: Schedule) -> tuple[str, int]:
    """Return which code declared it (source) and how new that code was (revision, microseconds)."""
    form = strict_json.loads(schedule.declared) if schedule.declared else {}
    return form.get(SOURCE, ""), form.get(_REVISION, 0)


def override_form(schedule: Schedule) -> dict[str, Any]:
    """Return what operators edited (of a schedule made over the API: all of it)."""
    return dict(strict_json.loads(schedule.override)) if schedule.override else {}


def definition_of(schedule: Schedule) -> dict[str, Any]:
    """Return the definition in force, in the normal form that a request has; without the id."""
    return effective(declared_form(schedule), override_form(schedule))


def effective(declared: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Return the override field by field, and what was declared where there is none."""
    form = dict(declared)
    if any(override.get(key) is not None for key in TRIGGERS):
        form = {key: value for key, value in form.items() if key not in OF_TRIGGER}
    for key, value in override.items():
        if key == "task" and isinstance(value, Mapping):
            task = {**form.get("task", {}), **value}
            form["task"] = {name: each for name, each in task.items() if each is not None or name == "timeout"}
        elif value is None:
            form.pop(key, None)
        else:
            form[key] = value
    return form


def patched(form: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition after a merge patch; another trigger replaces the one that stood."""
    base = dict(form)
    if any(changes.get(key) is not None for key in TRIGGERS):
        base = {key: value for key, value in base.items() if key not in OF_TRIGGER}
    made = merged(base, changes)
    task = changes.get("task")
    if isinstance(task, Mapping) and "timeout" in task and task["timeout"] is None:
        made["task"] = {**made.get("task", {}), "timeout": None}  # null is a value there: no time-out
    return made


def override_after(schedule: Schedule, changes: Iterable[str], in_task: Iterable[str], form: Mapping[str, Any]) -> str:
    """Return the override once operators have edited the fields `changes` (and those of `task`) to what `form` says."""
    if schedule.declared is None:
        return strict_json.dumps(dict(form))
    standing = override_form(schedule)
    fields = {key for key in (*standing, *changes) if key not in ("task", *OF_TRIGGER)}
    made = {key: form.get(key) for key in sorted(fields)}
    if any(key in OF_TRIGGER for key in (*standing, *changes)):
        made |= {key: form[key] for key in OF_TRIGGER if key in form}
    task: Mapping[str, Any] = form.get("task", {})
    if names := {*standing.get("task", {}), *in_task}:
        made["task"] = {name: task.get(name) for name in sorted(names)}
    return strict_json.dumps(made)


def without(override: Mapping[str, Any], field: str | None) -> dict[str, Any]:
    """Return the override without one field (`task.queue` is one inside of the task), or without all."""
    if field is None:
        return {}
    name, _, inner = field.strip("/").replace("/", ".").partition(".")
    gone = OF_TRIGGER if name in OF_TRIGGER else (name,)
    if name == "task" and inner:
        task = {key: value for key, value in override.get("task", {}).items() if key != inner}
        return {**{key: value for key, value in override.items() if key != "task"}, **({"task": task} if task else {})}
    return {key: value for key, value in override.items() if key not in gone}


def absolute(draft: ScheduleDraft, wall: int) -> ScheduleDraft:
    """Return the draft with a trigger `in` counted from `wall`, as an edit means it."""
    if draft.wait is None:
        return draft
    form = {key: value for key, value in draft.form.items() if key != "in"}
    trigger = replace(draft.trigger, at=wall + draft.wait)
    return replace(draft, trigger=trigger, wait=None, form={**form, "at": moment_text(wall + draft.wait)})


def trigger_from(draft: ScheduleDraft, created_at: int) -> TriggerSpec:
    """Return the trigger of a draft; `in` counts from the creation."""
    return draft.trigger if draft.wait is None else replace(draft.trigger, at=created_at + draft.wait)


def new_schedule(draft: ScheduleDraft, run: RunSpec, *, schedule_id: str, wall: int) -> Schedule:
    """Return a schedule that begins at `wall`; raises `InvalidValue` (`no_future_fire`) if it would never fire."""
    made = Schedule(
        id=schedule_id,
        trigger=trigger_from(draft, wall),
        run=run,
        rules=draft.rules,
        phase=Phase.ACTIVE if draft.enabled else Phase.PAUSED,
        phase_reason="" if draft.enabled else "not enabled",
        anchor=anchor_of(draft.rules, wall),
        created_at=wall,
        updated_at=wall,
        paused_at=None if draft.enabled else wall,
        override=strict_json.dumps(dict(draft.form)),
    )
    return armed(made, wall)


def armed(schedule: Schedule, wall: int) -> Schedule:
    """Return the schedule with its first fire from `wall` on; raises `InvalidValue` where there is none."""
    found = first_fire_at(schedule, now=wall)
    if found is None:
        _refuse(schedule, wall)
    by_zone = schedule.trigger.cron is not None or schedule.trigger.repeat is not None
    return replace(schedule, next_fire_at=found, tz_version=zone_data() if by_zone else "")


def redefined(schedule: Schedule, draft: ScheduleDraft, run: RunSpec, *, wall: int, running: bool) -> Schedule:
    """Return `schedule` under another definition (its texts excepted), with its next fire where that is another.

    The grid and the next fire stay unless the trigger or its bounds change; then no past fire is invented and none
    is repeated. `running`: a run is unfinished, so a `delay` trigger waits for its end.
    """
    rules, trigger = draft.rules, trigger_from(draft, schedule.created_at)
    made = replace(schedule, trigger=trigger, run=run, rules=rules)
    bounds = (rules.start_at, rules.end_at, rules.max_runs)
    standing = schedule.rules
    if trigger == schedule.trigger and bounds == (standing.start_at, standing.end_at, standing.max_runs):
        return made
    if trigger != schedule.trigger or rules.start_at != standing.start_at:
        made = replace(made, anchor=anchor_of(rules, wall if trigger.every != schedule.trigger.every else made.anchor))
    made = armed(made, wall)
    if running and trigger.every is not None and trigger.mode == "delay":
        made = replace(made, next_fire_at=None)
    return replace(made, phase=Phase.ACTIVE, phase_reason="") if made.phase is Phase.COMPLETED else made


def _refuse(schedule: Schedule, wall: int) -> None:
    """Say why a schedule would never fire."""
    trigger, rules = schedule.trigger, schedule.rules
    if rules.max_runs is not None and schedule.runs >= rules.max_runs:
        problem = f"is reached: {schedule.runs} runs have started"
        raise InvalidValue("/max_runs", problem, rule="no_future_fire")
    if trigger.at is not None and trigger.at < wall:
        hint = "a moment in the past is taken within grace, or within catchup_window where one is set"
        raise InvalidValue("/at", "has passed", hint=hint, rule="no_future_fire")
    field = next((key for key in ("cron", "every", "repeat", "at") if getattr(trigger, key) is not None), "cron")
    first_fire(evaluator(schedule), max(wall, (rules.start_at or 1) - 1), pointer=f"/{field}")
    raise InvalidValue("/end_at", "leaves no fire", hint="the next fire is not before it", rule="no_future_fire")
