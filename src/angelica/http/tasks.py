"""One task over HTTP: read, wait, cancel, delete, retry, result, and why it waits."""

from __future__ import annotations

from typing import Final
from zlib import crc32

from angelica.clock import SECOND
from angelica.domain.prediction import shown
from angelica.domain.reasons import Start, Why
from angelica.domain.task import State, Task
from angelica.durations import parse_duration
from angelica.errors import InvalidValue, NotCancellable, NotFinished, NotSupported
from angelica.http.answers import Answer, json_answer
from angelica.http.call import Call, invalid_body
from angelica.http.disconnect import unless_gone
from angelica.http.history import attempt_views, stage_events
from angelica.http.problems import HttpProblem, field_problem
from angelica.http.query import words
from angelica.http.views import FIELDS, INPUT_FIELDS, error_view, etag, moment, pick, task_view

REASON_LIMIT: Final = 1000


async def look(call: Call) -> Task:
    """Return the task of the path, after `?wait=` seconds at most if it has not ended; 404."""
    service = call.host.service
    task = await service.get(call.params["task_id"])
    seconds = call.query.get("wait")
    if seconds and not task.is_terminal:
        await call.body()  # so that only a disconnect can come
        task = await unless_gone(call.receive, service.wait(task.id, seconds))
    return task


def field_names(text: str) -> tuple[str, ...]:
    """Read `?fields=`: members of a task."""
    names = words(text)
    unknown = [name for name in names if name not in FIELDS and name not in INPUT_FIELDS]
    if unknown:
        raise ValueError(
            f"{unknown[0][:40]!r} is no member of a task; known: {', '.join(sorted(FIELDS))}, {', '.join(INPUT_FIELDS)}"
        )
    return tuple(sorted(set(names)))


async def show(call: Call) -> Answer:
    """GET /tasks/{task_id}."""
    task = await look(call)
    names: tuple[str, ...] | None = call.query.get("fields")
    tag = etag(task, variant="" if names is None else f"-{crc32(','.join(names).encode()):x}")
    headers = {"ETag": tag}
    if matches(call.header(b"if-none-match"), tag):
        return Answer(304, headers=headers)
    return json_answer(task_view(task, call.base) if names is None else pick(task, call.base, names), headers=headers)


def matches(header: str | None, tag: str) -> bool:
    """Whether If-None-Match names this entity tag (weak comparison, as RFC 9110 asks)."""
    if header is None:
        return False
    return any(part.strip().removeprefix("W/") in (tag, "*") for part in header.split(","))


def check_match(call: Call, task: Task) -> None:
    """Raise 412 if the caller has seen another version (`If-Match`)."""
    wanted = call.header(b"if-match")
    if wanted is not None and not any(part.strip() in (etag(task), "*") for part in wanted.split(",")):
        raise HttpProblem("precondition-failed", f"the task is at version {task.revision}")


async def remove(call: Call) -> Answer:
    """DELETE /tasks/{task_id}: cancels what has not ended, deletes what has."""
    service = call.host.service
    task_id = call.params["task_id"]
    if call.header(b"if-match") is not None:
        check_match(call, await service.get(task_id))
    await call.json(required=False)
    _, task = await service.delete(task_id, purge=call.query.get("purge", False))
    if task is None:
        return Answer(204)
    return _cancelled(call, task)


def _cancelled(call: Call, task: Task) -> Answer:
    """200 once it is cancelled, 202 while a running attempt is being stopped."""
    view = task_view(task, call.base)
    if task.is_terminal:
        return json_answer(view)
    return json_answer(view, 202, {"Location": call.link(f"/tasks/{task.id}")})


async def cancel(call: Call) -> Answer:
    """POST /tasks/{task_id}/cancel."""
    options = await call.options({"reason": str, "grace": (int, float, str)})
    if options.get("grace") is not None:
        raise NotSupported("/grace", "a grace of its own is not served yet", hint="leave it out; the setting applies")
    reason = options.get("reason") or ""
    if len(reason) > REASON_LIMIT:
        error = field_problem("/reason", f"must be at most {REASON_LIMIT} characters", "too_long", max=REASON_LIMIT)
        raise invalid_body([error], status=call.host.settings.validation_status)
    status, task = await call.host.service.cancel(call.params["task_id"], reason=reason)
    if status == "finished":
        if task.state is State.CANCELLED and call.header(b"idempotency-key") is not None:
            answer = _cancelled(call, task)
            answer.headers["Idempotency-Replayed"] = "true"
            return answer
        raise NotCancellable(f"the task has ended: {task_view(task).status}", task_id=task.id)
    return _cancelled(call, task)


async def retry(call: Call) -> Answer:
    """POST /tasks/{task_id}/retry: a new task with `retry_of`; the ended one stays as it is."""
    if call.header(b"idempotency-key") is not None:
        raise NotSupported("/Idempotency-Key", "is not served on a retry yet", hint="look for `retry_of` in GET /tasks")
    options = await call.options({"delay": (int, float, str)})
    delay = options.get("delay")
    try:
        micros = 0 if delay is None else parse_duration(delay)
    except ValueError as error:
        raise InvalidValue("/delay", str(error)) from None
    task = await call.host.service.retry(call.params["task_id"], delay=micros / SECOND)
    return json_answer(task_view(task, call.base), 201, {"Location": call.link(f"/tasks/{task.id}")})


async def why(call: Call) -> Answer:
    """GET /tasks/{task_id}/why: 204 when it does not wait."""
    found = await call.host.service.why(call.params["task_id"])
    return Answer(204) if found is None else json_answer(why_view(found, call))


def why_view(found: Why, call: Call) -> dict[str, object]:
    """Return why a task waits."""
    return {
        "code": found.code,
        "params": found.params,
        "position": found.position,
        "blocking": [call.link(path) if path.startswith("/") else path for path in found.blocking],
        "text": shown(found),
        "predicted_start": None if found.start is None else _moments(found.start),
    }


def _moments(start: Start) -> dict[str, str]:
    return {"p10": moment(start.p10), "p50": moment(start.p50), "p90": moment(start.p90)}


async def result(call: Call) -> Answer:
    """GET /tasks/{task_id}/result: the value itself; 409 for a task that has none."""
    task = await look(call)
    if task.state is State.SUCCEEDED:
        return Answer(200, (task.result or "null").encode())
    if not task.is_terminal:
        raise NotFinished(f"the task is {task_view(task).status}", task_id=task.id)
    slug = "task-failed" if task.state is State.FAILED else "task-cancelled"
    error = None if task.error is None else error_view(task.error)
    detail = f"{error.type or error.reason}: {error.message}" if error else ""
    more = {"task_id": task.id, "task_error": error}
    raise HttpProblem(slug, detail, more=more)


async def attempts(call: Call) -> Answer:
    """GET /tasks/{task_id}/attempts: those that ended badly or were given back, and the current or last one."""
    task = await call.host.service.get(call.params["task_id"])
    past = await call.host.service.attempts(task.id)
    return json_answer({"items": attempt_views(task, past)})


async def events(call: Call) -> Answer:
    """GET /tasks/{task_id}/events: the stages of its life, from its columns and its attempts."""
    task = await call.host.service.get(call.params["task_id"])
    past = await call.host.service.attempts(task.id)
    return json_answer({"items": stage_events(task, past)})
