"""Required spellings of registering a schedule: `POST /task/add` and `POST /schedule`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from angelica.domain.schedule import Schedule
from angelica.errors import InvalidValue
from angelica.http.answers import Answer, json_answer
from angelica.http.call import Call, invalid_body
from angelica.http.problems import field_problem
from angelica.http.schedules import refuse_key
from angelica.runtime.drafts import InvalidRequest
from angelica.runtime.schedule_drafts import read_schedule

_ADD: Final = {"spec": "cron", "job": "name"}
_SCHEDULE: Final = {"taskId": "schedule_id", "taskName": "name", "cronExpression": "cron"}


async def add(call: Call) -> Answer:
    """POST /task/add: `{"spec", "job"}`; 200 with the id that it was given."""
    schedule = await _made(call, _ADD)
    return json_answer({"status": "added", "job_id": schedule.id}, headers=_location(call, schedule))


async def schedule(call: Call) -> Answer:
    """POST /schedule: `{"taskId", "taskName", "cronExpression"}`; the id names the schedule."""
    made = await _made(call, _SCHEDULE)
    body = {
        "status": "scheduled",
        "schedule_id": made.id,
        "message": f"Task {made.run.function} scheduled.",
    }
    return json_answer(body, headers=_location(call, made))


def _location(call: Call, schedule: Schedule) -> dict[str, str]:
    return {"Location": call.link(f"/schedules/{schedule.id}")}


async def _made(call: Call, names: Mapping[str, str]) -> Schedule:
    """Store what the body says in other words; what is wrong is told in those words too."""
    refuse_key(call)
    body = _read(call, await call.json(), names)
    try:
        draft = read_schedule({ours: body[theirs] for theirs, ours in names.items()})
        schedule, _ = await call.host.schedules.create(draft, created_by=call.caller)
    except InvalidRequest as error:
        raise InvalidRequest([_told(problem, names) for problem in error.problems]) from None
    except InvalidValue as error:
        raise _told(error, names) from None
    return schedule


def _read(call: Call, body: Any, names: Mapping[str, str]) -> Mapping[str, str]:
    wanted = ", ".join(names)
    if not isinstance(body, Mapping):
        error = field_problem("", f"must be a JSON object with {wanted}", "wrong_type", type="object")
        raise invalid_body([error], status=call.host.settings.validation_status)
    errors = [field_problem(f"/{name}", "unknown field", "unknown_field") for name in body if name not in names]
    errors += [
        field_problem(f"/{name}", "must be a text", "wrong_type", type="string")
        for name in names
        if not isinstance(body.get(name), str)
    ]
    if errors:
        raise invalid_body(errors, status=call.host.settings.validation_status)
    return body


def _told(problem: InvalidValue, names: Mapping[str, str]) -> InvalidValue:
    """Point to the member of the body as it was spelled."""
    theirs = {f"/{ours}": f"/{name}" for name, ours in names.items()}
    if problem.field in theirs:
        problem.field = theirs[problem.field]
    return problem
