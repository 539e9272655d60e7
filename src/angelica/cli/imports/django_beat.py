"""django-celery-beat: what `manage.py dumpdata django_celery_beat` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from angelica import strict_json
from angelica.cli.imports import celery_times
from angelica.cli.imports.celery_task import CLEANUP, CLEANUP_REASON, body_of, options_of
from angelica.cli.imports.celery_times import Unsaid, When
from angelica.cli.imports.found import MOST, Found, Unreadable, Wishes, bounded, checked, distinct, id_of
from angelica.errors import AngelicaError

_APP: Final = "django_celery_beat."
_KINDS: Final = ("interval", "crontab", "solar", "clocked")
_MODELS: Final = {kind: f"{_APP}{kind}schedule" for kind in _KINDS}
_OPTIONS: Final = ("queue", "exchange", "routing_key", "priority", "expire_seconds")

Rows = Mapping[tuple[str, str], Mapping[str, Any]]


def read_django_beat(text: str, wishes: Wishes, *, now: int) -> list[Found]:
    """Return the periodic tasks of a dump, each joined with its crontab or interval."""
    try:
        dump = strict_json.loads(bounded(text))
    except AngelicaError as error:
        raise Unreadable(f"is not JSON: {error}") from None
    if not isinstance(dump, list) or not all(isinstance(row, dict) for row in dump):
        raise Unreadable("must hold a list, as `manage.py dumpdata django_celery_beat` prints it")
    rows: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in dump:
        if isinstance(row.get("fields"), dict):
            rows[str(row.get("model")).lower(), str(row.get("pk"))] = row["fields"]
    tasks = [(pk, fields) for (model, pk), fields in rows.items() if model == f"{_APP}periodictask"]
    if not tasks:
        raise Unreadable("has no django_celery_beat.periodictask")
    if len(tasks) > MOST:
        raise Unreadable(f"more than {MOST} entries")
    return distinct(checked(_found(pk, fields, rows, wishes), now) for pk, fields in tasks)


def _found(pk: str, fields: Mapping[str, Any], rows: Rows, wishes: Wishes) -> Found:
    name, task = fields.get("name"), fields.get("task")
    place = f"periodictask {pk}"
    if not isinstance(name, str) or not isinstance(task, str):
        return Found(place, str(name), refused="a periodic task has a name and a task")
    text = f"{name}: {task}"
    if task == CLEANUP:
        return Found(place, text, refused=CLEANUP_REASON)
    notes: list[str] = []
    try:
        when = _when(fields, rows, wishes)
        args, kwargs, headers = (
            _json(fields, key, kind) for key, kind in (("args", list), ("kwargs", dict), ("headers", dict))
        )
    except Unsaid as error:
        return Found(place, text, refused=str(error))
    body = {**body_of(id_of(name), task, when, args, kwargs, wishes), **_rules(fields, notes)}
    options = {key: fields.get(key) for key in _OPTIONS} | {"headers": headers or None}
    if options["headers"] and set(headers) <= {"periodic_task_name"}:
        options["headers"] = None
    if made := options_of(options, notes):
        body["task"] = made
    return Found(place, text, body, notes=tuple(notes))


def _when(fields: Mapping[str, Any], rows: Rows, wishes: Wishes) -> When:
    kinds = [kind for kind in _KINDS if fields.get(kind) is not None]
    if len(kinds) != 1:
        raise Unsaid("it has no schedule" if not kinds else f"it has more than one schedule: {', '.join(kinds)}")
    kind = kinds[0]
    row = rows.get((_MODELS[kind], str(fields[kind])))
    if row is None:
        raise Unsaid(f"its {kind} schedule {fields[kind]!r} is not in the dump; dump the whole app")
    if kind == "crontab":
        timezone = row.get("timezone") or wishes.timezone
        when = celery_times.crontab({name: row.get(name, "*") for name in celery_times.FIELDS})
        return {**when, "timezone": str(timezone)} if timezone else when
    if kind == "interval":
        return celery_times.interval(celery_times.duration({str(row.get("period")): row.get("every")}))
    if kind == "clocked":
        return {"at": str(row.get("clocked_time"))}
    raise Unsaid(
        "a solar schedule has no counterpart; give a cron text, or submit the task from code that knows the sun"
    )


def _rules(fields: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if fields.get("start_time"):
        made["start_at"] = fields["start_time"]
    if fields.get("one_off") and fields.get("clocked") is None:
        made["max_runs"] = 1
    if fields.get("enabled") is False:
        made["enabled"] = False
    if fields.get("expires"):
        notes.append("`expires` becomes the end of the schedule: no run is made after it")
        made["end_at"] = fields["expires"]
    if fields.get("description"):
        notes.append("the description is left out; keep it in the TOML file as a comment")
    return made


def _json(fields: Mapping[str, Any], key: str, kind: type) -> Any:
    text = fields.get(key)
    if not text:
        return kind()
    try:
        value = strict_json.loads(text) if isinstance(text, str) else text
    except AngelicaError as error:
        raise Unsaid(f"its {key} is not JSON: {error}") from None
    if not isinstance(value, kind):
        raise Unsaid(f"its {key} must be {'a list' if kind is list else 'an object'}")
    return value
