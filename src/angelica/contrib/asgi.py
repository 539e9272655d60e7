"""ASGI middleware: requests to chosen paths become durable tasks, answered at once; all else passes untouched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from angelica.contrib.engine import EngineLike
from angelica.domain.status import STATUS
from angelica.http.answers import Answer, json_answer, send_answer
from angelica.http.call import Call
from angelica.http.disconnect import unless_gone
from angelica.http.endpoint import problem_answer, trace
from angelica.http.prefer import Prefer, read_prefer
from angelica.http.problems import HttpProblem, retry_after
from angelica.http.submit import REPLAYED, idempotency, only, stamp
from angelica.http.views import raw
from angelica.runtime.drafts import read_draft

HEADERS: Final = ("content-type", "user-agent", "accept-language", "x-request-id")
METHODS: Final = ("POST", "PUT", "PATCH", "DELETE")


class BackgroundTaskMiddleware:
    """Turns matched requests into tasks.

    `routes` maps path patterns to functions: `{"/reports/{id}": "render"}`. The function gets the keyword arguments
    `path`, `method`, `params` (of the pattern), `query`, `headers` (only those of `headers=`), `body` (the JSON body,
    or null). `methods` are the ones that match (not GET, which must change nothing). `predicate(scope)` may let
    a request pass all the same. With `only_if_preferred` a request becomes a task only if its client asks for it
    with `Prefer: respond-async`.

    Answers 202 with `Location`, or with `Prefer: wait=N` 200 and the result if it ends in time; 429 for a full
    queue and 503 for a storage that is not there, both with `Retry-After`. Put it inside what authenticates.
    """

    def __init__(
        self,
        app: ASGIApp,
        engine: EngineLike,
        routes: Mapping[str, str],
        *,
        predicate: Callable[[Scope], bool] | None = None,
        methods: Sequence[str] = METHODS,
        headers: Sequence[str] = HEADERS,
        only_if_preferred: bool = False,
    ) -> None:
        self.app = app
        self.engine = engine
        self.routes = [(*compile_path(pattern), name) for pattern, name in routes.items()]
        self.predicate = predicate
        self.methods = frozenset(method.upper() for method in methods)
        self.headers = frozenset(header.lower().encode("latin-1") for header in headers)
        self.only_if_preferred = only_if_preferred

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        found = self._match(scope)
        if found is None:
            await self.app(scope, receive, send)
            return
        call = Call(self.engine, _as_dict(scope), receive, dict(scope["headers"]))
        trace(call)
        call.base = scope.get("root_path", "") + self.engine.mounted_at
        try:
            answer = await self._submit(call, *found)
        except ConnectionResetError:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a problem document
            answer = problem_answer(error, call)
        await send_answer(answer, send, [(b"x-request-id", call.request_id.encode("latin-1"))], head=False)

    def _match(self, scope: Scope) -> tuple[str, dict[str, Any]] | None:
        """Return the function and the path parameters, None for a request that passes."""
        if scope["type"] != "http" or scope["method"] not in self.methods:
            return None
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        for pattern, _, convertors, name in self.routes:
            match = pattern.match(path)
            if match is None:
                continue
            if self.only_if_preferred and not _prefer(scope).respond_async:
                return None
            if self.predicate is not None and not self.predicate(scope):
                return None
            return name, {key: convertors[key].convert(value) for key, value in match.groupdict().items()}
        return None

    async def _submit(self, call: Call, name: str, params: dict[str, Any]) -> Answer:
        if self.engine.started_at is None:
            raise HttpProblem("engine-not-started")
        kwargs = {
            "path": call.path,
            "method": call.method,
            "params": {key: _plain(value) for key, value in params.items()},
            "query": _query(call.scope["query_string"]),
            "headers": {
                key.decode("latin-1"): value.decode("latin-1")
                for key, value in call.headers.items()
                if key in self.headers
            },
            "body": await call.json(required=False),
        }
        body = {"name": name, "kwargs": kwargs}
        request = idempotency(call, f"{call.method} {call.path}", body)
        replies = await self.engine.service.submit([stamp(call, read_draft(body))], request=request)
        accepted = only(replies)
        prefer = read_prefer(call.header(b"prefer"))
        task = accepted.task
        if prefer.wait and not task.is_terminal:
            task = await unless_gone(call.receive, self.engine.service.wait(task.id, float(prefer.wait)))
        location = call.link(f"/tasks/{task.id}")
        headers = {"Location": location, **(REPLAYED if replies.replayed else {})}
        answer: dict[str, Any] = {
            "status": "accepted",
            "task_id": task.id,
            "logs_url": f"{location}/logs",
            "links": {"self": location},
        }
        if prefer.wait and task.is_terminal:
            answer |= {"status": STATUS[task.state], "result": raw(task.result)}
            return json_answer(answer, 200, {**headers, **Prefer(wait=prefer.wait).applied()})
        if prefer.wait:
            headers |= retry_after(1.0)
        return json_answer(answer, 202, {**headers, **Prefer(respond_async=prefer.respond_async).applied()})


def _as_dict(scope: Scope) -> dict[str, Any]:
    return dict(scope)


def _prefer(scope: Scope) -> Prefer:
    found = dict(scope["headers"]).get(b"prefer")
    return read_prefer(None if found is None else found.decode("latin-1"))


def _query(raw_query: bytes) -> dict[str, Any]:
    """A query string as JSON: text for a key, a list for one that is repeated."""
    try:
        pairs = parse_qsl(raw_query.decode("ascii"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise HttpProblem("invalid-query", "the query cannot be read") from None
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            kept = values[key]
            values[key] = [*kept, value] if isinstance(kept, list) else [kept, value]
        else:
            values[key] = value
    return values


def _plain(value: Any) -> Any:
    """A path parameter as JSON."""
    return value if isinstance(value, str | int | float) else str(value)
