"""Submitting over HTTP: one task, a batch, a trigger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from angelica import strict_json
from angelica.clock import DAY
from angelica.errors import Aborted, AngelicaError, InvalidValue
from angelica.http.answers import Answer, json_answer
from angelica.http.call import NDJSON, Call, invalid_body
from angelica.http.disconnect import unless_gone
from angelica.http.prefer import Prefer, read_prefer
from angelica.http.problems import HttpProblem, Problem, field_problem, problem_of, retry_after
from angelica.http.views import pick, task_view
from angelica.runtime.drafts import Draft, digest, read_draft
from angelica.runtime.service import Accepted, Replies
from angelica.storage.protocol import Request

KEY_LIMIT: Final = 255
KEY_LIFE: Final = DAY
BATCH_LIMIT: Final = 1000
REPLAYED: Final = {"Idempotency-Replayed": "true"}


async def create(call: Call) -> Answer:
    """POST /tasks: 201 only after the task is on disk; 200 for the same id and body, or when waited for."""
    body = await call.json()
    draft = stamp(call, read_draft(body))
    request = idempotency(call, "POST /tasks", body)
    replies = await call.host.service.submit([draft], request=request)
    accepted = only(replies)
    prefer = read_prefer(call.header(b"prefer"))
    if prefer.wait and not accepted.task.is_terminal:
        return await _waited(call, accepted, replies, prefer)
    return _created(call, accepted, replies, prefer)


def stamp(call: Call, draft: Draft) -> Draft:
    """Return the draft with what the request around it says: the caller, and its trace unless the body names one."""
    headers = draft.headers
    if call.traceparent is not None and "traceparent" not in headers:
        headers = {**headers, "traceparent": call.traceparent}
    return replace(draft, headers=headers, created_by=call.caller)


def only(replies: Replies) -> Accepted:
    """Return the reply to a submit of one task, or raise why it was refused."""
    reply = replies.items[0]
    if isinstance(reply, Exception):
        raise reply
    return reply


def idempotency(call: Call, route: str, body: Any) -> Request | None:
    """Return what the Idempotency-Key header stands for, None without one."""
    key = call.header(b"idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= KEY_LIMIT or not key.isascii() or not key.isprintable():
        raise HttpProblem("invalid-header", f"Idempotency-Key must be 1 to {KEY_LIMIT} printable ASCII characters")
    expires = call.host.clock.now().wall + KEY_LIFE
    return Request(call.caller, key, route, digest(body), expires)


def _created(call: Call, accepted: Accepted, replies: Replies, prefer: Prefer) -> Answer:
    """The answer to a submit that nobody waits for."""
    task = accepted.task
    headers = {"Location": call.link(f"/tasks/{task.id}"), **(REPLAYED if replies.replayed else {})}
    new = accepted.created or replies.replayed
    status = 201 if new else 200
    view = task_view(task, call.base)
    if new and (prefer.respond_async or not accepted.durable):
        # 201 means "on disk": what only this process knows is no more than accepted.
        status = 202
    if prefer.minimal:
        return Answer(status, headers={**headers, **Prefer(minimal=True).applied()})
    if prefer.respond_async and new:
        headers |= Prefer(respond_async=True).applied()
    if more := _more(accepted):
        return json_answer({**pick(task, call.base, view.__struct_fields__), **more}, status, headers)
    return json_answer(view, status, headers)


def _more(accepted: Accepted) -> dict[str, Any]:
    """Return what an answer says of a submit beside its task: rare members, so that they cost nobody else anything."""
    more: dict[str, Any] = {} if accepted.durable else {"durable": False}
    return {**more, "warnings": accepted.warnings} if accepted.warnings else more


async def _waited(call: Call, accepted: Accepted, replies: Replies, prefer: Prefer) -> Answer:
    """The answer after `Prefer: wait=N`: 200 with the ended task, else 202."""
    seconds = float(prefer.wait or 0)
    task = await unless_gone(call.receive, call.host.service.wait(accepted.task.id, seconds))
    headers = {"Location": call.link(f"/tasks/{task.id}"), **(REPLAYED if replies.replayed else {})}
    # Only what was done counts as applied: a wait that ran out was not.
    applied = Prefer(wait=prefer.wait if task.is_terminal else None, minimal=prefer.minimal)
    headers |= applied.applied()
    if not task.is_terminal:
        headers |= retry_after(1.0)
    status = 200 if task.is_terminal else 202
    if prefer.minimal:
        return Answer(status, headers=headers)
    view = task_view(task, call.base)
    shown = {**pick(task, call.base, view.__struct_fields__), **_more(accepted)} if accepted.warnings else view
    return json_answer(shown, status, headers)


async def create_batch(call: Call) -> Answer:
    """POST /tasks/batch: up to 1,000 tasks, all or none (`atomic`, the default) or each for itself."""
    items, atomic, request = await _read_batch(call)
    drafts: list[Draft] = []
    refused: dict[int, AngelicaError] = {}
    for position, item in enumerate(items):
        try:
            drafts.append(stamp(call, read_draft(item)))
        except AngelicaError as error:
            refused[position] = error
    if refused and atomic:
        raise _batch_refused(call, list(refused.items()))
    replies = Replies(())
    if drafts:
        replies = await call.host.service.submit(drafts, request=request, atomic=atomic)
    stored = iter(replies.items)
    outcomes = [refused[position] if position in refused else next(stored) for position in range(len(items))]
    failed = [(n, outcome) for n, outcome in enumerate(outcomes) if isinstance(outcome, Exception)]
    if failed and atomic:
        # Who was refused for the sake of another is not to be told as a fault of its own.
        raise _batch_refused(call, [each for each in failed if not isinstance(each[1], Aborted)] or failed)
    return _batch_answer(call, outcomes, replies, failed=len(failed))


def _batch_answer(call: Call, outcomes: Sequence[Accepted | Exception], replies: Replies, *, failed: int) -> Answer:
    shown: list[dict[str, Any]] = []
    status = 200 if failed else 201
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            problem = _problem(call, outcome)
            shown.append({"problem": problem.document(instance=None, trace_id=None, base=call.base)})
            continue
        task = outcome.task
        item = {
            "task_id": task.id,
            "status": task_view(task).status,
            "location": call.link(f"/tasks/{task.id}"),
            "created": outcome.created,
        }
        if not outcome.durable:
            status = 200 if failed else 202
        shown.append({**item, **_more(outcome)})
    headers = REPLAYED if replies.replayed else None
    return json_answer({"items": shown, "failed": failed}, status, headers)


async def _read_batch(call: Call) -> tuple[list[Any], bool, Request | None]:
    """Return the items, whether all or none, and the idempotency request."""
    if call.media_type == NDJSON:
        lines = (await call.body()).split(b"\n")
        items = [_line(number, line) for number, line in enumerate(lines) if line.strip()]
        atomic = call.query.get("atomic", True)
        whole: Any = {"tasks": items, "atomic": atomic}
    else:
        whole = await call.json()
        items, atomic = _members(call, whole)
    if not 1 <= len(items) <= BATCH_LIMIT:
        message = f"must hold 1 to {BATCH_LIMIT} tasks"
        error = field_problem("/tasks", message, "length", min=1, max=BATCH_LIMIT)
        raise invalid_body([error], status=call.host.settings.validation_status)
    return items, atomic, idempotency(call, "POST /tasks/batch", whole)


def _members(call: Call, whole: Any) -> tuple[list[Any], bool]:
    errors: list[dict[str, Any]] = []
    if not isinstance(whole, dict):
        errors.append(field_problem("", "must be a JSON object with `tasks`", "wrong_type", type="object"))
        whole = {}
    else:
        errors += [
            field_problem(f"/{name}", "unknown field", "unknown_field")
            for name in whole
            if name not in ("tasks", "atomic")
        ]
        if not isinstance(whole.get("tasks"), list):
            errors.append(field_problem("/tasks", "must be a list of tasks", "wrong_type", type="array"))
        if not isinstance(whole.get("atomic", True), bool):
            errors.append(field_problem("/atomic", "must be true or false", "wrong_type", type="boolean"))
        if "atomic" in whole and call.query.get("atomic") is not None:
            errors.append(field_problem("/atomic", "is given in the query too", "repeated"))
    if errors:
        raise invalid_body(errors, status=call.host.settings.validation_status)
    return whole["tasks"], whole.get("atomic", call.query.get("atomic", True))


def _line(number: int, line: bytes) -> Any:
    try:
        return strict_json.loads(line)
    except strict_json.InvalidJson as error:
        raise HttpProblem("invalid-json", f"line {number + 1}: {error}") from None
    except InvalidValue as error:
        raise InvalidValue(
            f"/tasks/{number}{error.field}", error.problem, hint=error.hint, rule=error.rule, **error.params
        ) from None


def _problem(call: Call, error: Exception) -> Problem:
    problem = problem_of(error, validation_status=call.host.settings.validation_status)
    if problem is None:
        raise error
    return problem


def _batch_refused(call: Call, failed: Sequence[tuple[int, Exception]]) -> HttpProblem:
    """One problem for an atomic batch: nothing was written; each error's pointer begins with its item."""
    problems = [(position, _problem(call, error)) for position, error in failed]
    errors: list[dict[str, Any]] = []
    for position, problem in problems:
        at = f"/tasks/{position}"
        if problem.errors:
            errors += [{**error, "pointer": at + str(error["pointer"])} for error in problem.errors]
        else:
            errors.append(field_problem(at, problem.detail, problem.slug))
    slugs = {problem.slug for _, problem in problems}
    first = problems[0][1]
    headers = dict(first.headers)
    detail = f"{len(failed)} of the tasks were refused; nothing was stored"
    if len(slugs) == 1:
        return HttpProblem(first.slug, detail, errors=errors, headers=headers, status=first.status)
    return HttpProblem("validation-failed", detail, errors=errors, status=call.host.settings.validation_status)


async def trigger(call: Call) -> Answer:
    """POST /trigger/{name}: the JSON body is the keyword arguments; 202 at once."""
    kwargs = await call.json(required=False)
    if kwargs is None:
        kwargs = {}
    if not isinstance(kwargs, dict):
        error = field_problem("", "must be a JSON object of keyword arguments", "wrong_type", type="object")
        raise invalid_body([error], status=call.host.settings.validation_status)
    body = {"name": call.params["name"], "kwargs": kwargs}
    request = idempotency(call, "POST /trigger", body)
    replies = await call.host.service.submit([stamp(call, read_draft(body))], request=request)
    accepted = only(replies)
    view = task_view(accepted.task, call.base)
    answer: dict[str, Any] = {
        "status": "task submitted",
        "task_id": view.task_id,
        "name": view.name,
        "logs_url": view.logs_url,
        "links": view.links,
    }
    if not accepted.durable:
        answer["durable"] = False
    headers = {"Location": call.link(f"/tasks/{view.task_id}"), **(REPLAYED if replies.replayed else {})}
    return json_answer(answer, 202, headers)
