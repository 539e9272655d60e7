"""The route table: every address of the API, from which it is both served and documented."""

from __future__ import annotations

from functools import partial

from angelica.http import (
    breakers,
    catalogue,
    limits,
    logs,
    openapi,
    pages,
    schedule_routes,
    submit,
    system,
    task_list,
    tasks,
    workers,
)
from angelica.http.answers import Answer
from angelica.http.call import Call
from angelica.http.query import WAIT, Parameter, flag
from angelica.http.sse import Followers
from angelica.http.table import Endpoint

_FIELDS = Parameter("fields", "Only these members, with commas.", tasks.field_names)
_PURGE = Parameter("purge", "Delete the record, its log and its result.", flag, {"type": "boolean", "default": False})
_ATOMIC = Parameter(
    "atomic", "All or none (the default), or each for itself.", flag, {"type": "boolean", "default": True}
)
_SUBMIT = (409, 413, 415, 422, 429)


def endpoints() -> tuple[Endpoint, ...]:
    """Return the table, the most used addresses first (they are matched in this order)."""
    rows = (
        *_collection(),
        *_one_task(),
        *schedule_routes.endpoints(),
        *_catalogue(),
        *workers.endpoints(),
        *breakers.endpoints(),
        *limits.endpoints(),
        *_system(),
        *_pages(),
    )

    async def document(call: Call) -> Answer:
        """GET /openapi.json."""
        return openapi.page(table, call)

    own = Endpoint(
        "GET",
        "/openapi.json",
        document,
        "open",
        "This API as an OpenAPI document",
        {200: "Document"},
        tag="pages",
        site=False,
    )
    table = (*rows, own)
    return table


def _collection() -> tuple[Endpoint, ...]:
    return (
        Endpoint(
            "POST",
            "/tasks",
            submit.create,
            "submit",
            "Submit a task",
            {201: "Task", 200: "Task", 202: "Task"},
            body="NewTask",
            problems=_SUBMIT,
            headers=("Idempotency-Key", "Prefer", "traceparent"),
        ),
        Endpoint("GET", "/tasks", task_list.index, "read", "List tasks", {200: "TaskList"}, query=task_list.PARAMETERS),
        Endpoint(
            "POST",
            "/tasks/batch",
            submit.create_batch,
            "submit",
            "Submit many tasks",
            {201: "BatchAnswer", 200: "BatchAnswer", 202: "BatchAnswer"},
            query=(_ATOMIC,),
            body="Batch",
            problems=_SUBMIT,
            headers=("Idempotency-Key", "traceparent"),
        ),
        Endpoint(
            "POST",
            "/trigger/{name}",
            submit.trigger,
            "submit",
            "Submit a task of this function; the body is its arguments",
            {202: "Triggered"},
            body="Arguments",
            body_required=False,
            problems=_SUBMIT,
            headers=("Idempotency-Key", "traceparent"),
        ),
    )


def _one_task() -> tuple[Endpoint, ...]:
    one = "/tasks/{task_id}"
    return (
        Endpoint(
            "GET",
            one,
            tasks.show,
            "read",
            "Show a task",
            {200: "Task", 304: None},
            query=(WAIT, _FIELDS),
            problems=(404,),
            headers=("If-None-Match",),
        ),
        Endpoint(
            "DELETE",
            one,
            tasks.remove,
            "operate",
            "Cancel a task that has not ended, delete one that has",
            {200: "Task", 202: "Task", 204: None},
            query=(_PURGE,),
            problems=(404, 409, 412),
            headers=("If-Match",),
        ),
        Endpoint(
            "POST",
            one + "/cancel",
            tasks.cancel,
            "operate",
            "Cancel a task",
            {200: "Task", 202: "Task"},
            body="CancelOptions",
            body_required=False,
            problems=(404, 409, 415, 422),
            headers=("Idempotency-Key",),
        ),
        Endpoint(
            "POST",
            one + "/retry",
            tasks.retry,
            "operate",
            "Run an ended task again, as a new task",
            {201: "Task"},
            body="RetryOptions",
            body_required=False,
            problems=(404, 409, 415, 422, 429),
        ),
        Endpoint(
            "GET",
            one + "/logs",
            partial(logs.show, Followers()),
            "read",
            "Read or follow the log of a task",
            {200: "LogLines"},
            query=logs.PARAMETERS,
            accepts=logs.FORMS,
            problems=(404, 429),
            headers=("Last-Event-ID",),
        ),
        Endpoint("GET", one + "/why", tasks.why, "read", "Why a task waits", {200: "Why", 204: None}, problems=(404,)),
        Endpoint(
            "GET", one + "/attempts", tasks.attempts, "read", "List the attempts", {200: "AttemptList"}, problems=(404,)
        ),
        Endpoint("GET", one + "/events", tasks.events, "read", "List the stages", {200: "EventList"}, problems=(404,)),
        Endpoint(
            "GET",
            one + "/result",
            tasks.result,
            "read",
            "Read the result",
            {200: "Any"},
            query=(WAIT,),
            problems=(404, 409),
        ),
    )


def _catalogue() -> tuple[Endpoint, ...]:
    return (
        Endpoint(
            "GET", "/functions", catalogue.functions, "read", "List functions", {200: "FunctionList"}, tag="functions"
        ),
        Endpoint(
            "GET",
            "/functions/{name}",
            catalogue.function,
            "read",
            "Show a function, the schema of its arguments, and the limits that its runs suggest",
            {200: "Function"},
            tag="functions",
            problems=(404,),
        ),
    )


def _system() -> tuple[Endpoint, ...]:
    text = (system.TEXT.partition(b";")[0], b"application/json")
    return (
        Endpoint(
            "GET", "/health", system.health, "open", "Whether it works", {200: "Health", 503: "Health"}, tag="system"
        ),
        Endpoint(
            "GET",
            "/livez",
            system.livez,
            "open",
            "Whether this process answers",
            {200: {"type": "string"}},
            tag="system",
            accepts=text,
        ),
        Endpoint(
            "GET",
            "/readyz",
            system.readyz,
            "open",
            "Whether it takes work",
            {200: {"type": "string"}, 503: {"type": "string"}},
            tag="system",
            accepts=text,
        ),
        Endpoint("GET", "/api/status", system.status, "read", "The engine as a whole", {200: "Status"}, tag="system"),
        Endpoint(
            "GET",
            "/problems/{slug}",
            system.problem,
            "open",
            "What an error means",
            {200: "Kind"},
            tag="system",
            problems=(404,),
        ),
    )


def _pages() -> tuple[Endpoint, ...]:
    """The addresses that a host application has of its own: left out when we are added to its routes one by one."""
    html, asset = (b"text/html",), (b"text/css", b"text/javascript")
    return (
        Endpoint("GET", "/", system.root, "open", "Where things are", {200: "Root"}, tag="pages", site=False),
        Endpoint(
            "GET",
            "/docs",
            pages.docs,
            "open",
            "This API for people",
            {200: {"type": "string"}},
            tag="pages",
            accepts=html,
            site=False,
        ),
        Endpoint(
            "GET",
            "/docs/{file}",
            pages.asset,
            "open",
            "A file of that page",
            {200: {"type": "string"}},
            tag="pages",
            accepts=asset,
            problems=(404,),
            site=False,
        ),
    )
