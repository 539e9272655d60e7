"""The addresses of schedules, with their required spellings."""

from __future__ import annotations

from typing import Final

from angelica.http import schedule_actions, schedule_aliases, schedule_batch, schedule_times, schedules
from angelica.http.table import Endpoint

_TAG: Final = "schedules"
_BODY: Final = (413, 415, 422)
_PATH: Final = "/schedules/{schedule_id}"


_COLLECTION: Final = (
    Endpoint(
        "POST",
        "/schedules",
        schedules.create,
        "schedule",
        "Create a schedule",
        {201: "Schedule", 200: "Schedule"},
        body="NewSchedule",
        problems=(409, *_BODY),
        tag=_TAG,
    ),
    Endpoint(
        "GET",
        "/schedules",
        schedules.index,
        "read",
        "List schedules",
        {200: "ScheduleList"},
        query=schedules.PARAMETERS,
        tag=_TAG,
    ),
    Endpoint(
        "POST",
        "/schedules/batch",
        schedule_batch.declare,
        "schedule",
        "Declare schedules, as code and files do; edits of operators stay",
        {200: "ScheduleBatchAnswer"},
        body="ScheduleBatch",
        problems=_BODY,
        tag=_TAG,
    ),
)


_TOOLS: Final = (
    Endpoint(
        "POST",
        "/schedules/preview",
        schedule_times.preview,
        "read",
        "Explain a schedule without storing it",
        {200: "Preview"},
        body="PreviewOptions",
        problems=_BODY,
        tag=_TAG,
    ),
    Endpoint(
        "POST",
        "/schedules/rehearse",
        schedule_times.rehearse,
        "read",
        "When a schedule would have fired, and will",
        {200: "Rehearsal"},
        body="RehearseOptions",
        problems=_BODY,
        tag=_TAG,
    ),
    Endpoint(
        "GET",
        "/schedules/calendar",
        schedule_times.calendar,
        "read",
        "How many fires are to come, by time",
        {200: "Calendar"},
        query=schedule_times.CALENDAR,
        tag=_TAG,
    ),
)


_ONE: Final = (
    Endpoint(
        "GET",
        _PATH,
        schedules.show,
        "read",
        "Show a schedule",
        {200: "Schedule", 304: None},
        problems=(404,),
        headers=("If-None-Match",),
        tag=_TAG,
    ),
    Endpoint(
        "PUT",
        _PATH,
        schedules.replace,
        "schedule",
        "Create or replace a schedule",
        {200: "Schedule", 201: "Schedule"},
        body="NewSchedule",
        problems=(409, 412, *_BODY),
        headers=("If-Match",),
        tag=_TAG,
    ),
    Endpoint(
        "PATCH",
        _PATH,
        schedules.change,
        "schedule",
        "Change parts of a schedule (merge patch)",
        {200: "Schedule"},
        body="ScheduleChanges",
        problems=(404, 409, 412, *_BODY),
        headers=("If-Match",),
        tag=_TAG,
    ),
    Endpoint(
        "DELETE",
        _PATH,
        schedules.remove,
        "schedule",
        "Delete a schedule; its runs go on",
        {204: None},
        query=(schedules.CANCEL_RUNNING,),
        problems=(404, 412),
        headers=("If-Match",),
        tag=_TAG,
    ),
    Endpoint(
        "GET",
        _PATH + "/next",
        schedule_times.upcoming,
        "read",
        "List the fires to come",
        {200: "NextFires"},
        query=schedule_times.NEXT,
        problems=(404,),
        tag=_TAG,
    ),
    Endpoint(
        "GET",
        _PATH + "/fires",
        schedule_times.fires,
        "read",
        "List the fires that were, with task or reason",
        {200: "FireList"},
        query=schedule_times.HISTORY,
        problems=(404,),
        tag=_TAG,
    ),
)


_ACTIONS: Final = (
    Endpoint(
        "POST",
        _PATH + "/pause",
        schedule_actions.pause,
        "schedule",
        "Pause a schedule",
        {200: "Schedule"},
        body="PauseOptions",
        body_required=False,
        problems=(404, *_BODY),
        tag=_TAG,
    ),
    Endpoint(
        "POST",
        _PATH + "/resume",
        schedule_actions.resume,
        "schedule",
        "Resume a schedule",
        {200: "Schedule"},
        body="ResumeOptions",
        body_required=False,
        problems=(404, *_BODY),
        tag=_TAG,
    ),
    Endpoint(
        "POST",
        _PATH + "/trigger",
        schedule_actions.trigger,
        "submit",
        "Run it once now",
        {201: "Task"},
        body="TriggerOptions",
        body_required=False,
        problems=(404, 429, *_BODY),
        tag=_TAG,
    ),
    Endpoint(
        "POST",
        _PATH + "/backfill",
        schedule_actions.backfill,
        "schedule",
        "Run what did not run in a past stretch of time",
        {202: "Operation", 200: "Operation"},
        body="BackfillOptions",
        problems=(404, *_BODY),
        tag=_TAG,
    ),
    Endpoint(
        "POST",
        _PATH + "/reset",
        schedule_actions.reset,
        "schedule",
        "Take operators' edits back, to what code declares",
        {200: "Schedule"},
        body="ResetOptions",
        body_required=False,
        problems=(404, 409, 412, *_BODY),
        headers=("If-Match",),
        tag=_TAG,
    ),
    Endpoint(
        "GET",
        "/operations/{operation_id}",
        schedule_actions.operation,
        "read",
        "Show how far an operation has come",
        {200: "Operation"},
        problems=(404,),
        tag="operations",
    ),
)


_ALIASES: Final = (
    Endpoint(
        "POST",
        "/task/add",
        schedule_aliases.add,
        "schedule",
        "Create a schedule, in other words",
        {200: "Added"},
        body="AddOptions",
        problems=(409, *_BODY),
        tag=_TAG,
    ),
    Endpoint(
        "POST",
        "/schedule",
        schedule_aliases.schedule,
        "schedule",
        "Create a schedule, in other words",
        {200: "Scheduled"},
        body="ScheduleOptions",
        problems=(409, *_BODY),
        tag=_TAG,
    ),
)


def endpoints() -> tuple[Endpoint, ...]:
    """Return the part of the table that concerns schedules; fixed words stand before `{schedule_id}`."""
    return (*_COLLECTION, *_TOOLS, *_ONE, *_ACTIONS, *_ALIASES)
