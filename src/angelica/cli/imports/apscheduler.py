"""APScheduler's jobs as JSON: Flask-APScheduler's list of jobs, or one made by a few lines of Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from angelica import strict_json
from angelica.cli.imports import apscheduler_fields, celery_times
from angelica.cli.imports.celery_times import Unsaid, When
from angelica.cli.imports.found import MOST, Found, Unreadable, Wishes, bounded, checked, distinct, id_of
from angelica.errors import AngelicaError

_PICKLED: Final = "is pickled, and nothing is unpickled here; write the list by the lines that the guide shows"
_TEXT: Final = re.compile(r"(cron|interval|date)\[(.*)\]")
_TEXT_FIELD: Final = re.compile(r"(\w+)='([^']*)'")
_INTERVAL: Final = ("weeks", "days", "hours", "minutes", "seconds")
_REF: Final = re.compile(r"[A-Za-z_][\w.]*(?::[A-Za-z_][\w.]*)?")


def read_apscheduler(text: str, wishes: Wishes, *, now: int) -> list[Found]:
    """Return the jobs of a list, or of an object with `jobs`."""
    try:
        obj = strict_json.loads(bounded(text))
    except AngelicaError as error:
        raise Unreadable(f"is not JSON: {error}") from None
    jobs = obj.get("jobs", obj.get("JOBS")) if isinstance(obj, dict) else obj
    if not isinstance(jobs, list):
        raise Unreadable("must hold a list of jobs, or an object with `jobs`")
    if len(jobs) > MOST:
        raise Unreadable(f"more than {MOST} entries")
    return distinct(checked(_found(f"job {number}", job, wishes), now) for number, job in enumerate(jobs, 1))


def _found(place: str, job: Any, wishes: Wishes) -> Found:
    if not isinstance(job, Mapping):
        return Found(place, "", refused="a job is an object")
    job_id = str(job.get("id") or job.get("name") or place)
    func = job.get("func")
    text = f"{job_id}: {func}"
    if not isinstance(func, str) or not _REF.fullmatch(func):
        return Found(place, text, refused="its `func` is a text such as module:function")
    notes: list[str] = []
    args, kwargs = job.get("args") or [], job.get("kwargs") or {}
    if not isinstance(args, list) or not isinstance(kwargs, Mapping):
        return Found(place, text, refused="args is a list, kwargs an object")
    if _is_pickled([args, dict(kwargs)]):
        return Found(place, text, refused=f"an argument {_PICKLED}")
    try:
        when = _when(job, wishes, notes)
    except Unsaid as error:
        return Found(place, text, refused=str(error))
    body: dict[str, Any] = {"schedule_id": id_of(job_id), "name": wishes.renamed(func) or func.replace(":", ".")}
    if args:
        body["args"] = args
    if kwargs:
        body["kwargs"] = dict(kwargs)
    return Found(place, text, {**body, **when, **_rules(job, notes)}, notes=tuple(notes))


def _rules(job: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if job.get("coalesce") is False:
        made["catch_up"] = "all"
    late = job.get("misfire_grace_time")
    if isinstance(late, int | float) and not isinstance(late, bool) and late > 0:
        made["catchup_window"] = late
    most = job.get("max_instances")
    if isinstance(most, int) and not isinstance(most, bool) and most > 1:
        made |= {"overlap": "allow", "max_running": most}
    if "next_run_time" in job and job["next_run_time"] is None:
        made["enabled"] = False
    if job.get("executor") not in (None, "default"):
        notes.append(f"executor {job['executor']!r} is left out: the function says where it runs")
    return made


def _when(job: Mapping[str, Any], wishes: Wishes, notes: list[str]) -> When:
    trigger = job.get("trigger")
    if isinstance(trigger, Mapping):
        if any(key.startswith("__apscheduler") for key in trigger):
            raise Unsaid(f"its trigger {_PICKLED}")
        kind, fields = str(trigger.get("type") or trigger.get("trigger")), trigger
    elif isinstance(trigger, str) and (spoken := _TEXT.fullmatch(trigger)):
        return _spoken(spoken[1], spoken[2], wishes)
    else:
        kind, fields = str(trigger), job
    if _is_pickled(dict(fields)):
        raise Unsaid(f"its trigger {_PICKLED}")
    match kind:
        case "date":
            return _zoned({"at": _moment(fields.get("run_date"))}, fields, wishes)
        case "cron":
            when = _zoned(apscheduler_fields.cron(fields), fields, wishes)
        case "interval":
            parts = {name: fields[name] for name in _INTERVAL if fields.get(name)}
            when = celery_times.interval(celery_times.duration(parts))
            if fields.get("start_date") is None:
                notes.append("the grid of the interval begins with the import")
        case _:
            raise Unsaid(f"a trigger of kind {kind!r} has no counterpart")
    return when | _bounds(fields, notes)


def _bounds(fields: Mapping[str, Any], notes: list[str]) -> When:
    made: When = {}
    for name, ours in (("start_date", "start_at"), ("end_date", "end_at")):
        if fields.get(name):
            made[ours] = _moment(fields[name])
    if fields.get("jitter"):
        made["jitter"] = fields["jitter"]
        notes.append("jitter only delays here; APScheduler's goes both ways")
    return made


def _moment(value: Any) -> str:
    """Python's `str()` of a moment has a blank where RFC 3339 has a T."""
    return str(value).replace(" ", "T", 1)


def _spoken(kind: str, inside: str, wishes: Wishes) -> When:
    """What `str(trigger)` says: `cron[hour='2', minute='0']`, `interval[0:00:30]`, `date[2026-01-01 00:00:00 UTC]`."""
    if kind == "cron":
        return _zoned(apscheduler_fields.cron(dict(_TEXT_FIELD.findall(inside))), {}, wishes)
    if kind == "interval":
        return celery_times.spoken(inside)[0]
    moment, _, zone = inside.rpartition(" ")
    if zone != "UTC":
        raise Unsaid(f"the zone {zone!r} of its date is an abbreviation; export run_date with its offset")
    return {"at": moment.replace(" ", "T", 1) + "Z"}


def _zoned(when: When, fields: Mapping[str, Any], wishes: Wishes) -> When:
    timezone = fields.get("timezone") or wishes.timezone
    return {**when, "timezone": str(timezone)} if timezone else when


def _is_pickled(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(str(key).startswith("__apscheduler") or _is_pickled(each) for key, each in value.items())
    return isinstance(value, list) and any(map(_is_pickled, value))
