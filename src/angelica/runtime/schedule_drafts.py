"""Schedule drafts: a definition of a schedule, read strictly from what HTTP, the CLI, a file or Python hand in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, cast

from angelica.domain.cron.parse import parse
from angelica.domain.cron.repeat import parse_repeat
from angelica.domain.retry import backoff_to_dict
from angelica.domain.schedule import Overlap, Rules, TriggerSpec
from angelica.domain.task import NOTHING
from angelica.durations import format_duration
from angelica.errors import InvalidArguments, InvalidValue, NotSupported
from angelica.runtime import fields
from angelica.runtime import schedule_fields as own
from angelica.runtime.drafts import UNSERVED, InvalidRequest, read_options
from angelica.runtime.options import NO_OPTIONS, UNSET, Options
from angelica.strict_json import pointer

TRIGGERS: Final = ("cron", "every", "at", "in", "repeat")
DELAY: Final = "delay"

_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "schedule_id": fields.task_id,
    "name": fields.name,
    "cron": own.text,
    "every": own.every,
    "at": own.when,
    "in": fields.duration,
    "repeat": own.text,
    "timezone": own.zone,
    "dialect": own.choice("standard", "quartz"),
    "day_match": own.choice("auto", "any", "all"),
    "mode": own.choice("rate", DELAY),
    "start_at": own.when,
    "end_at": own.when,
    "max_runs": fields.integer(1, own.MAX_RUNS),
    "overlap": own.overlap,
    "max_running": fields.integer(1, own.MAX_RUNNING),
    "catch_up": own.catch_up,
    "grace": fields.duration,
    "catchup_window": fields.duration,
    "max_catchup": fields.integer(1, own.MAX_CATCHUP),
    "jitter": fields.duration,
    "jitter_mode": own.choice("each", "fixed"),
    "pause_after_failures": fields.integer(1, own.MAX_RUNS),
    "delete_after": fields.duration,
    "enabled": own.flag,
}
FIELDS: Final = frozenset(_READERS) | {"args", "kwargs", "task"}
RULES: Final = frozenset(Rules.__dataclass_fields__)
_DURATIONS: Final = frozenset({"every", "in", "grace", "catchup_window", "jitter", "delete_after"})
_MOMENTS: Final = frozenset({"at", "start_at", "end_at"})
_NOT_FOR_RUNS: Final = {
    "delay": "a schedule says when: use in, at or jitter",
    "run_at": "a schedule says when: use at",
    "task_id": "each run has an id of its own, made from the schedule's",
    "unique": "a fire makes one run; overlap says what happens beside an unfinished one",
    "deadline": "is one moment for all runs: use timeout, or end_at of the schedule",
    "expires": "use catch_up and grace of the schedule",
    "expires_at": "is one moment for all runs: use catch_up and grace of the schedule",
}
_UNSERVED: Final = {
    **UNSERVED,
    "command": "schedules of commands come with a later version",
    "expect_finish_within": "alerts come with a later version",
}
_ALIASES: Final = {
    "id": "schedule_id",
    "function": "name",
    "tz": "timezone",
    "interval": "every",
    "spec": "cron",
    "schedule": "cron",
    "queue": "task",
    "timeout": "task",
    "retries": "task",
    "labels": "task",
    "priority": "task",
    "resources": "task",
}


@dataclass(frozen=True, slots=True)
class ScheduleDraft:
    """A definition that has been read; whether its function exists and takes the arguments is seen when it is stored.

    `wait` (microseconds) is a trigger `in`: the moment is counted from when the schedule is stored. `form` is the
    definition in its one normal form of JSON values, with only what was given: durations as text, moments as RFC
    3339; it is what an edit merges into and what two requests must share to be the same. `id` is not part of it.
    """

    id: str | None
    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    trigger: TriggerSpec = field(default_factory=TriggerSpec)
    wait: int | None = None
    rules: Rules = field(default_factory=Rules)
    options: Options = NO_OPTIONS
    enabled: bool = True
    form: Mapping[str, Any] = field(default_factory=lambda: NOTHING)


def read_schedule(obj: Any, *, schedule_id: str | None = None) -> ScheduleDraft:
    """Return the draft of a definition (interface: `POST /schedules`); `schedule_id` is one from an address.

    All problems are collected: one is raised as the `InvalidValue` it is, several as `InvalidRequest`.
    """
    if not isinstance(obj, Mapping):
        raise InvalidValue("", f"must be an object, not {fields.kind_of(obj)}", rule="type")
    problems: list[InvalidValue] = []
    given = _read_fields(obj, problems)
    args, kwargs = _read_arguments(obj, problems)
    options = _read_task(obj.get("task"), problems)
    if "name" not in given and not any(problem.field in ("/name", "/command") for problem in problems):
        hint = 'the name of a function, e.g. "reports.render"'
        problems.append(InvalidValue("/name", "is missing", hint=hint, rule="missing"))
    if schedule_id is not None and given.get("schedule_id", schedule_id) != schedule_id:
        problems.append(InvalidValue("/schedule_id", "differs from the id in the address", rule="exclusive"))
    moments = _instants(given, problems)
    trigger = _trigger(given, moments, problems)
    rules = _rules(given, moments, problems)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise InvalidRequest(problems)
    return ScheduleDraft(
        schedule_id or given.get("schedule_id"),
        given["name"],
        args,
        kwargs,
        trigger,
        given.get("in"),
        rules,
        options,
        given.get("enabled", True),
        _form(given, args, kwargs, options),
    )


def _read_fields(obj: Mapping[Any, Any], problems: list[InvalidValue]) -> dict[str, Any]:
    """Return what the readers make of the fields that are given; null is as good as not given."""
    given: dict[str, Any] = {}
    for key, value in obj.items():
        at = pointer("", key) if isinstance(key, str) else ""
        reader = _READERS.get(key)
        if reader is None:
            if key not in FIELDS and (problem := _unknown(str(key), value, at)) is not None:
                problems.append(problem)
            continue
        if value is None:
            continue
        try:
            given[key] = reader(value)
        except InvalidValue as problem:
            problems.append(problem)
        except fields.Wrong as error:
            problems.append(InvalidValue(at, str(error), rule=error.rule, **error.params))
        except ValueError as error:
            problems.append(InvalidValue(at, str(error)))
    return given


def _unknown(key: str, value: Any, at: str) -> InvalidValue | None:
    if key in _UNSERVED:
        return None if value in (None, {}, [], "") else NotSupported(at, _UNSERVED[key], rule="not_supported")
    near = _ALIASES.get(key) or fields.near(key, FIELDS)
    hint = f"did you mean {f'task.{key}' if near == 'task' else near}?" if near else ""
    params = {"suggestion": near} if near else {}
    return InvalidValue(at, "unknown field", hint=hint, rule="unknown_field", **params)


def _read_arguments(obj: Mapping[str, Any], problems: list[InvalidValue]) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    args, kwargs = obj.get("args"), obj.get("kwargs")
    if args is not None and not isinstance(args, list | tuple):
        problems.append(InvalidArguments("/args", f"must be a list, not {fields.kind_of(args)}", rule="type"))
        args = None
    if kwargs is not None and not (isinstance(kwargs, Mapping) and all(isinstance(key, str) for key in kwargs)):
        problems.append(InvalidArguments("/kwargs", f"must be an object, not {fields.kind_of(kwargs)}", rule="type"))
        kwargs = None
    return tuple(args or ()), dict(kwargs) if kwargs else NOTHING


def _read_task(value: Any, problems: list[InvalidValue]) -> Options:
    if value is None:
        return NO_OPTIONS
    if not isinstance(value, Mapping):
        problems.append(InvalidValue("/task", f"must be an object, not {fields.kind_of(value)}", rule="type"))
        return NO_OPTIONS
    refused = {key: _NOT_FOR_RUNS[key] for key in value if key in _NOT_FOR_RUNS and value[key] is not None}
    problems += [InvalidValue(f"/task/{key}", why, rule="not_for_runs") for key, why in refused.items()]
    try:
        return read_options({key: each for key, each in value.items() if key not in refused})
    except InvalidRequest as error:
        problems += [own.prefixed(problem, "/task") for problem in error.problems]
    except InvalidValue as problem:
        problems.append(own.prefixed(problem, "/task"))
    return NO_OPTIONS


def _instants(given: Mapping[str, Any], problems: list[InvalidValue]) -> dict[str, int]:
    made: dict[str, int] = {}
    for key in _MOMENTS & set(given):
        try:
            made[key] = own.instant(given[key], given.get("timezone"))
        except ValueError as error:
            problems.append(InvalidValue(f"/{key}", str(error)))
    return made


def _trigger(given: Mapping[str, Any], moments: Mapping[str, int], problems: list[InvalidValue]) -> TriggerSpec:
    named = [key for key in TRIGGERS if key in given]
    wrong = {problem.field for problem in problems}
    if len(named) > 1:
        problem = f"excludes {named[0]}; give one of {', '.join(TRIGGERS)}"
        problems.append(InvalidValue(f"/{named[1]}", problem, rule="exclusive"))
    elif not named and not wrong & {f"/{key}" for key in TRIGGERS}:
        problem = f"is missing: give one of {', '.join(TRIGGERS)}"
        problems.append(InvalidValue("/cron", problem, hint='for example "0 2 * * *"', rule="missing"))
    for key, owner in (("mode", "every"), ("dialect", "cron"), ("day_match", "cron")):
        if key in given and named and owner not in named:
            problems.append(InvalidValue(f"/{key}", f"concerns {owner} alone", rule="exclusive"))
    _parse(given, problems)
    return TriggerSpec(
        cron=given.get("cron"),
        every=given.get("every"),
        at=moments.get("at"),
        repeat=given.get("repeat"),
        timezone=given.get("timezone"),
        dialect=given.get("dialect", "standard"),
        day_match=given.get("day_match", "auto"),
        mode=cast("Literal['rate', 'delay']", given.get("mode", "rate")),
    )


def _parse(given: Mapping[str, Any], problems: list[InvalidValue]) -> None:
    """See that the schedule texts can be read."""
    timezone = given.get("timezone")
    try:
        if "cron" in given:
            dialect, day_match = given.get("dialect", "standard"), given.get("day_match", "auto")
            parse(given["cron"], timezone=timezone, dialect=dialect, day_match=day_match)
        if "repeat" in given:
            parse_repeat(given["repeat"], timezone=timezone)
    except InvalidValue as problem:
        problems.append(problem)


def _rules(given: Mapping[str, Any], moments: Mapping[str, int], problems: list[InvalidValue]) -> Rules:
    start_at, end_at = moments.get("start_at"), moments.get("end_at")
    if start_at is not None and end_at is not None and end_at <= start_at:
        problems.append(InvalidValue("/end_at", "must be after start_at", rule="too_small"))
    if "max_running" in given and given.get("overlap") is not Overlap.ALLOW:
        problems.append(InvalidValue("/max_running", "concerns overlap allow alone", rule="exclusive"))
    if "jitter_mode" in given and not given.get("jitter"):
        problems.append(InvalidValue("/jitter_mode", "needs a jitter", rule="exclusive"))
    bounds = {key: moments[key] for key in ("start_at", "end_at") if key in moments}
    return Rules(**{**{key: given[key] for key in RULES & set(given)}, **bounds})


def _form(
    given: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Options
) -> dict[str, Any]:
    form: dict[str, Any] = {}
    for key, value in given.items():
        if key == "schedule_id" or (key == "enabled" and value):
            continue
        if key in _DURATIONS:
            form[key] = format_duration(value)
        elif key in _MOMENTS:
            form[key] = own.when_text(cast("int | datetime", value))
        else:
            form[key] = str(value) if isinstance(value, str) else value  # the words of a policy are plain text here
    if args:
        form["args"] = list(args)
    if kwargs:
        form["kwargs"] = dict(kwargs)
    if task := task_form(options):
        form["task"] = task
    return form


def task_form(options: Options) -> dict[str, Any]:
    """Return the options of a run as JSON values that `read_options` reads back."""
    form: dict[str, Any] = {}
    for key in Options.__dataclass_fields__:
        value = getattr(options, key)
        if key == "timeout":
            if value is not UNSET:
                form[key] = None if value is None else format_duration(cast("int", value))
        elif value is None:
            continue
        elif key == "result_ttl":
            form[key] = format_duration(value)
        elif key == "backoff":
            form[key] = backoff_to_dict(value)
        elif key == "retry_on":
            form[key] = list(value)
        else:
            form[key] = dict(value) if isinstance(value, Mapping) else value
    return form
