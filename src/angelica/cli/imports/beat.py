"""Celery's `beat_schedule`: a JSON dump of it, or the Python file that sets it, read as data and never run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any, Final

from angelica import strict_json
from angelica.cli.imports import celery_times
from angelica.cli.imports.celery_task import CLEANUP, CLEANUP_REASON, body_of, options_of
from angelica.cli.imports.celery_times import Unsaid, When
from angelica.cli.imports.found import MOST, Found, Unreadable, Wishes, bounded, checked, distinct, id_of
from angelica.cli.imports.literal import CallForm, NotLiteral, Reader, call_name, shown
from angelica.errors import AngelicaError

SETTINGS: Final = frozenset({"beat_schedule", "CELERY_BEAT_SCHEDULE", "CELERYBEAT_SCHEDULE"})
ZONES: Final = frozenset({"timezone", "CELERY_TIMEZONE"})
CALLS: Final = frozenset({"crontab", "timedelta", "schedule", "solar"})
_CRONTAB_ARGS: Final = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
_TIMEDELTA_ARGS: Final = ("days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks")

Entry = tuple[str, str, Any]
"""A place, the name of an entry, and its value (or the `NotLiteral` that says why there is none)."""


def read_beat(text: str, wishes: Wishes, *, now: int) -> list[Found]:
    """Return the entries of a `beat_schedule`: JSON (the dict itself, or under its name) or Python source."""
    bounded(text)
    if text.lstrip()[:1] == "{":
        try:
            entries, timezone = _from_json(strict_json.loads(text))
        except AngelicaError:
            entries, timezone = _from_python(text)
    else:
        entries, timezone = _from_python(text)
    if len(entries) > MOST:
        raise Unreadable(f"more than {MOST} entries")
    told = Wishes(wishes.timezone or timezone, wishes.names, wishes.function)
    return distinct(checked(_found(place, name, value, told), now) for place, name, value in entries)


def _from_json(obj: Any) -> tuple[list[Entry], str | None]:
    if not isinstance(obj, dict):
        raise Unreadable("must hold an object: the entries by name")
    within = next((obj[name] for name in SETTINGS if name in obj), obj)
    timezone = (
        next((obj[name] for name in ZONES if isinstance(obj.get(name), str)), None) if within is not obj else None
    )
    if not isinstance(within, dict):
        raise Unreadable("beat_schedule must be an object: the entries by name")
    return [(f"entry {name!r}", name, value) for name, value in within.items()], timezone


def _from_python(text: str) -> tuple[list[Entry], str | None]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise Unreadable(f"is neither JSON nor Python{line}") from None
    known = _constants(tree)
    reader = Reader(CALLS, known)
    entries: list[Entry] = []
    timezone: str | None = None
    for name, value in _settings(tree):
        if name in ZONES:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                timezone = value.value
            continue
        entries += _entries(value, reader)
    if not entries and len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr):
        entries = list(_entries(tree.body[0].value, reader))
    entries += _single(tree, reader)
    if not entries:
        raise Unreadable("sets no beat_schedule that can be read; export it as JSON (see the guide)")
    return entries, timezone


def _constants(tree: ast.Module) -> dict[str, Any]:
    """The names that the file sets once at its top, to a literal."""
    reader = Reader(frozenset({"timedelta", "crontab", "schedule"}), {})
    known: dict[str, Any] = {}
    twice: set[str] = set()
    for statement in tree.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                if name in known:
                    twice.add(name)
                try:
                    known[name] = reader.value(value)
                except (NotLiteral, RecursionError):
                    twice.add(name)
    return {name: value for name, value in known.items() if name not in twice}


def _settings(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield what is set under the names that we look for: by assignment, or by keyword (`conf.update(…)`)."""
    wanted = SETTINGS | ZONES
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if call_name(target) in wanted:
                        yield call_name(target), value
            case ast.AnnAssign(target=target, value=ast.expr() as value) if call_name(target) in wanted:
                yield call_name(target), value
            case ast.keyword(arg=str() as name, value=value) if name in wanted:
                yield name, value
            case ast.Call(func=ast.Attribute(value=owner, attr="update"), args=[ast.Dict() as value]):
                if call_name(owner) in SETTINGS:
                    yield call_name(owner), value


def _entries(value: ast.expr, reader: Reader) -> Iterator[Entry]:
    """Each entry of a dict by itself, so that one that cannot be read does not hide the others."""
    if not isinstance(value, ast.Dict):
        return
    for key, item in zip(value.keys, value.values, strict=True):
        if key is None:
            yield f"line {item.lineno}", shown(item), NotLiteral(f"`**{shown(item)}` is known only at run time")
            continue
        yield _entry(key, item, reader)


def _single(tree: ast.Module, reader: Reader) -> Iterator[Entry]:
    """Entries that are set one by one: `app.conf.beat_schedule["name"] = {…}`."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Subscript(value=owner, slice=key)], value=value):
                if call_name(owner) in SETTINGS:
                    yield _entry(key, value, reader)


def _entry(key: ast.expr, value: ast.expr, reader: Reader) -> Entry:
    place = f"line {value.lineno}"
    try:
        name = str(reader.value(key))
        return place, name, reader.value(value)
    except NotLiteral as error:
        return place, key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else shown(key), error
    except RecursionError:
        return place, "entry", NotLiteral("it is nested too deeply")


def _found(place: str, name: str, value: Any, wishes: Wishes) -> Found:
    if isinstance(value, NotLiteral):
        return Found(place, name, refused=str(value))
    if not isinstance(value, Mapping) or not isinstance(value.get("task"), str):
        return Found(place, name, refused="an entry has a `task` (text) and a `schedule`")
    if value["task"] == CLEANUP:
        return Found(place, name, refused=CLEANUP_REASON)
    notes: list[str] = []
    args, kwargs, options = value.get("args") or (), value.get("kwargs") or {}, value.get("options") or {}
    if not isinstance(args, list | tuple) or not isinstance(kwargs, Mapping) or not isinstance(options, Mapping):
        return Found(place, name, refused="args is a list; kwargs and options are objects")
    if _holds_call([args, kwargs]):
        return Found(place, name, refused="its arguments are no JSON values")
    try:
        when = _when(value.get("schedule"), notes)
    except Unsaid as error:
        return Found(place, name, refused=str(error))
    if value.get("relative"):
        notes.append("`relative` is left out: an interval is on a grid from its start")
    body = body_of(id_of(name), value["task"], when, args, kwargs, wishes)
    if wishes.timezone and "cron" in when:
        body["timezone"] = wishes.timezone
    if task := options_of(options, notes):
        body["task"] = task
    return Found(place, f"{name}: {value['task']}", body, notes=tuple(notes))


def _holds_call(value: Any) -> bool:
    if isinstance(value, CallForm):
        return True
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return any(map(_holds_call, items))


def _when(value: Any, notes: list[str]) -> When:
    if isinstance(value, bool) or value is None:
        raise Unsaid("it has no `schedule`")
    if isinstance(value, int | float):
        return celery_times.interval(value)
    if isinstance(value, str):
        when, note = celery_times.spoken(value)
        if note:
            notes.append(note)
        return when
    if isinstance(value, CallForm):
        return _called(value, notes)
    if isinstance(value, Mapping):
        return _object(value, notes)
    raise Unsaid("its `schedule` cannot be read")


def _called(call: CallForm, notes: list[str]) -> When:
    if call.name == "crontab":
        return celery_times.crontab(_named(call, _CRONTAB_ARGS))
    if call.name == "timedelta":
        return celery_times.interval(celery_times.duration(_named(call, _TIMEDELTA_ARGS)))
    if call.name == "schedule":
        given = _named(call, ("run_every", "relative"))
        if given.get("relative"):
            notes.append("`relative` is left out: an interval is on a grid from its start")
        return _when(given.get("run_every"), notes)
    raise Unsaid(
        "a solar schedule has no counterpart; give a cron text, or submit the task from code that knows the sun"
    )


def _named(call: CallForm, names: tuple[str, ...]) -> dict[str, Any]:
    if len(call.args) > len(names):
        raise Unsaid(f"{call.name}(…) has too many arguments")
    return {**dict(zip(names, call.args, strict=False)), **call.kwargs}


def _object(value: Mapping[str, Any], notes: list[str]) -> When:
    """JSON objects: `{"crontab": {…}}`, `{"minute": …}`, RedBeat's `{"__type__": "crontab", …}`, `{"every": 30}`."""
    kind = value.get("__type__")
    rest = {key: each for key, each in value.items() if key not in ("__type__", "relative")}
    if value.get("relative"):
        notes.append("`relative` is left out: an interval is on a grid from its start")
    if kind == "interval" or set(rest) == {"every"}:
        return _when(rest.get("every"), notes)
    if kind == "crontab":
        return celery_times.crontab(rest)
    if set(rest) == {"crontab"} and isinstance(rest["crontab"], Mapping):
        return celery_times.crontab(rest["crontab"])
    if set(rest) == {"timedelta"} and isinstance(rest["timedelta"], Mapping):
        return celery_times.interval(celery_times.duration(rest["timedelta"]))
    if kind is None and rest and set(rest) <= set(celery_times.FIELDS):
        return celery_times.crontab(rest)
    if kind is None and rest and set(rest) <= set(celery_times.SECONDS):
        return celery_times.interval(celery_times.duration(rest))
    raise Unsaid("its `schedule` cannot be read")
