"""What is done with a schedule over HTTP: pause, resume, trigger, backfill, reset; and operations that this starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from angelica.http.answers import Answer, json_answer
from angelica.http.call import Call, invalid_body
from angelica.http.problems import field_problem
from angelica.http.schedules import etag, match, precondition, refuse_key, view
from angelica.http.tasks import REASON_LIMIT
from angelica.http.views import moment, task_view
from angelica.runtime import fields
from angelica.runtime.operations import Operation
from angelica.runtime.schedule_runs import PACES


async def pause(call: Call) -> Answer:
    """POST /schedules/{schedule_id}/pause: no fires until it is resumed; what runs goes on."""
    options = await call.options({"reason": str})
    reason = options.get("reason") or ""
    if len(reason) > REASON_LIMIT:
        error = field_problem("/reason", f"must be at most {REASON_LIMIT} characters", "too_long", max=REASON_LIMIT)
        raise invalid_body([error], status=call.host.settings.validation_status)
    schedule = await call.host.schedules.pause(call.params["schedule_id"], reason)
    return json_answer(view(call, schedule), headers={"ETag": etag(schedule)})


async def resume(call: Call) -> Answer:
    """POST /schedules/{schedule_id}/resume: fires again; with `catch_up`, what was due meanwhile counts as missed."""
    options = await call.options({"catch_up": bool})
    schedule = await call.host.schedules.resume(call.params["schedule_id"], catch_up=bool(options.get("catch_up")))
    return json_answer(view(call, schedule), headers={"ETag": etag(schedule)})


async def trigger(call: Call) -> Answer:
    """POST /schedules/{schedule_id}/trigger: one run now, paused or not; the body overrides parts of the task."""
    refuse_key(call)
    overrides = await call.json(required=False)
    if overrides is not None and not isinstance(overrides, Mapping):
        error = field_problem("", "must be a JSON object", "wrong_type", type="object")
        raise invalid_body([error], status=call.host.settings.validation_status)
    task = await call.host.schedules.trigger(call.params["schedule_id"], overrides, created_by=call.caller)
    return json_answer(task_view(task, call.base), 201, {"Location": call.link(f"/tasks/{task.id}")})


async def reset(call: Call) -> Answer:
    """POST /schedules/{schedule_id}/reset: back to what code declares, in one field or in all."""
    options = await call.options({"field": str})
    wanted = match(call)
    service = call.host.schedules
    if wanted is not None and (version := (await service.get(call.params["schedule_id"])).version) != wanted:
        raise precondition(version)
    schedule = await service.reset(call.params["schedule_id"], options.get("field") or None)
    return json_answer(view(call, schedule), headers={"ETag": etag(schedule)})


_BACKFILL: Final = frozenset({"from", "to", "force", "dry_run", "overlap"})


async def backfill(call: Call) -> Answer:
    """POST /schedules/{schedule_id}/backfill: 202 with an operation; 200 for a dry run, which stores nothing."""
    refuse_key(call)
    body = await call.json()
    if not isinstance(body, Mapping):
        error = field_problem("", "must be a JSON object with from and to", "wrong_type", type="object")
        raise invalid_body([error], status=call.host.settings.validation_status)
    asked = _read_backfill(call, body)
    operation = await call.host.schedules.backfill(call.params["schedule_id"], **asked)
    path = call.link(f"/operations/{operation.id}")
    status = 200 if asked["dry_run"] else 202
    return json_answer(operation_view(operation, call.base), status, {} if asked["dry_run"] else {"Location": path})


def _read_backfill(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    errors = [field_problem(f"/{name}", "unknown field", "unknown_field") for name in body if name not in _BACKFILL]
    asked: dict[str, Any] = {"overlap": body.get("overlap") or PACES[0]}
    if asked["overlap"] not in PACES:
        errors.append(field_problem("/overlap", f"must be one of {', '.join(PACES)}", "choice", choices=list(PACES)))
    for name, ours in (("from", "start"), ("to", "end")):
        try:
            if body.get(name) is None:
                errors.append(field_problem(f"/{name}", "is missing", "missing"))
            else:
                asked[ours] = fields.moment(body[name])
        except ValueError as error:
            errors.append(field_problem(f"/{name}", str(error), "invalid"))
    for name in ("force", "dry_run"):
        asked[name] = body.get(name) or False
        if not isinstance(asked[name], bool):
            errors.append(field_problem(f"/{name}", "must be true or false", "wrong_type", type="boolean"))
    if errors:
        raise invalid_body(errors, status=call.host.settings.validation_status)
    return asked


async def operation(call: Call) -> Answer:
    """GET /operations/{operation_id}: how far it has come."""
    found = await call.host.schedules.operation(call.params["operation_id"])
    return json_answer(operation_view(found, call.base))


def operation_view(found: Operation, base: str) -> dict[str, Any]:
    """Return the view of an operation."""
    return {
        "operation_id": found.id,
        "kind": found.kind,
        "state": found.state,
        "total": found.total,
        "done": found.done,
        "skipped": found.skipped,
        "create_time": moment(found.created_at),
        "end_time": None if found.finished_at is None else moment(found.finished_at),
        "error": found.error or None,
        "detail": found.detail,
        "links": {"self": f"{base}/operations/{found.id}"},
    }
