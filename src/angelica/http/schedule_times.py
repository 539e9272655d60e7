"""When schedules fire and have fired, over HTTP: next, fires, preview, rehearse, calendar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from angelica.clock import DAY, SECOND
from angelica.domain.cron.zones import Zone
from angelica.domain.schedule import Schedule
from angelica.domain.trigger import evaluator
from angelica.errors import InvalidValue
from angelica.http.answers import Answer, json_answer
from angelica.http.call import Call, invalid_body
from angelica.http.problems import HttpProblem, field_problem
from angelica.http.query import Parameter, moment, whole
from angelica.http.schedule_views import fire_view, time_views, words_view, zone_of
from angelica.http.views import moment as moment_view
from angelica.runtime import fields
from angelica.runtime.forecast import MAX_PREVIEWED, PREVIEWED, provisional
from angelica.runtime.schedule_drafts import read_schedule
from angelica.runtime.schedule_fields import moment_text

FIRES: Final = 100
FIRES_LIMIT: Final = 1000
WEEK: Final = 7 * DAY
LONGEST: Final = 366 * DAY

_MOMENT: Final = {"type": "string", "format": "date-time"}
NEXT: Final = (
    Parameter(
        "count",
        "So many fires.",
        whole(1, MAX_PREVIEWED),
        {"type": "integer", "minimum": 1, "maximum": MAX_PREVIEWED, "default": PREVIEWED},
    ),
    Parameter("after", "Fires after this moment (RFC 3339); after now otherwise.", moment, _MOMENT),
)
HISTORY: Final = (
    Parameter(
        "limit",
        "At most so many records.",
        whole(1, FIRES_LIMIT),
        {"type": "integer", "minimum": 1, "maximum": FIRES_LIMIT, "default": FIRES},
    ),
    Parameter("before", "Fires before this moment (RFC 3339): `next_before` of the page before.", moment, _MOMENT),
)
CALENDAR: Final = (
    Parameter("from", "From this moment (RFC 3339); now otherwise.", moment, _MOMENT),
    Parameter("to", "To this moment, at most 366 days later; a week otherwise.", moment, _MOMENT),
)


def zone_for(schedule: Schedule) -> Zone:
    """Return the zone whose clocks a schedule's fires are shown on."""
    return zone_of(evaluator(schedule), schedule.trigger.timezone)


async def upcoming(call: Call) -> Answer:
    """GET /schedules/{schedule_id}/next: the fires to come, in UTC and on the clocks of its zone."""
    service = call.host.schedules
    schedule = await service.get(call.params["schedule_id"])
    after = call.query.get("after")
    times = await service.next(schedule.id, call.query.get("count", PREVIEWED), after)
    zone = zone_for(schedule)
    before = call.host.clock.wall() if after is None else after
    body = {
        "schedule_id": schedule.id,
        "state": schedule.phase.value,
        "timezone": zone.name,
        "items": time_views(times, zone, before=before),
    }
    return json_answer(body)


async def fires(call: Call) -> Answer:
    """GET /schedules/{schedule_id}/fires: every fire, the newest first, with its run or the reason why it has none."""
    service = call.host.schedules
    schedule_id = call.params["schedule_id"]
    limit = call.query.get("limit", FIRES)
    records = await service.fires(schedule_id, before=call.query.get("before"), limit=limit)
    following = moment_text(records[-1].fire_time) if len(records) == limit else None
    return json_answer({"items": [fire_view(each, call.base) for each in records], "next_before": following})


async def preview(call: Call) -> Answer:
    """POST /schedules/preview: what a definition means, before there is one; stores nothing."""
    found = await call.host.schedules.preview(await _object(call))
    zone = zone_for(found.schedule)
    body = {
        "timezone": zone.name,
        "description": words_view(found.words),
        "next_times": time_views(found.times, zone, before=call.host.clock.wall()),
        "warnings": [words_view(each) for each in found.warnings],
    }
    return json_answer(body)


async def rehearse(call: Call) -> Answer:
    """POST /schedules/rehearse: when a definition would have fired in the `past`, and will in the `future`."""
    body = await _object(call)
    past, future = (_stretch(body.get(name), f"/{name}") for name in ("past", "future"))
    draft = read_schedule({key: value for key, value in body.items() if key not in ("past", "future")})
    found = await call.host.schedules.rehearse(draft, past=past, future=future)
    zone = zone_for(provisional(draft, call.host.clock.wall()))
    answer = {
        "timezone": zone.name,
        "description": words_view(found.words),
        "warnings": [words_view(each) for each in found.warnings],
        "past": time_views(found.past, zone),
        "future": time_views(found.future, zone),
        "typical_run": None if found.typical_run is None else found.typical_run / SECOND,
        "overlaps": found.overlaps,
        "truncated": found.truncated,
    }
    return json_answer(answer)


async def calendar(call: Call) -> Answer:
    """GET /schedules/calendar: how many fires are to come, by stretches of time, and of which schedules."""
    start = call.query.get("from", call.host.clock.wall())
    end = call.query.get("to", start + WEEK)
    if not start < end <= start + LONGEST:
        message = "must be after `from`, at most 366 days"
        raise HttpProblem("invalid-query", f"to: {message}", errors=[field_problem("to", message, "invalid")])
    found = await call.host.schedules.calendar(start, end)
    body = {
        "from": moment_view(found.start),
        "to": moment_view(found.end),
        "step": found.step / SECOND,
        "schedules": found.schedules,
        "truncated": found.truncated,
        "items": [
            {
                "time": moment_view(bucket.start),
                "count": bucket.count,
                "schedules": [{"schedule_id": name, "count": count} for name, count in bucket.schedules],
            }
            for bucket in found.buckets
        ],
    }
    return json_answer(body)


async def _object(call: Call) -> Mapping[str, Any]:
    body = await call.json()
    if isinstance(body, Mapping):
        return body
    error = field_problem("", "must be a JSON object", "wrong_type", type="object")
    raise invalid_body([error], status=call.host.settings.validation_status)


def _stretch(value: Any, pointer: str) -> int:
    if value is None:
        return WEEK
    try:
        micros = fields.duration(value)
    except ValueError as error:
        raise InvalidValue(pointer, str(error)) from None
    if micros > LONGEST:
        raise InvalidValue(pointer, "must be at most 366 days", rule="too_large")
    return micros
