"""Lists of tasks: the filters as they are written, the opaque cursor, and the pages."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from angelica.domain.task import NOTHING, State
from angelica.http.answers import Answer, json_answer
from angelica.http.call import Call
from angelica.http.problems import HttpProblem, field_problem
from angelica.http.query import Parameter, Query, flag, moment, whole, words
from angelica.http.tasks import field_names
from angelica.http.views import pick, task_view
from angelica.storage.protocol import TaskFilter

PAGE: Final = 50
PAGE_LIMIT: Final = 500
_CURSOR: Final = re.compile(r"(asc|desc)\|(\d{1,18})\|([A-Za-z0-9][A-Za-z0-9._:-]{0,127})", re.ASCII)
_PATTERN: Final = re.compile(r"[^*\x00]{0,255}\*?")

_PENDING: Final = frozenset({State.WAITING, State.SCHEDULED, State.QUEUED})
STATUS_WORDS: Final[dict[str, frozenset[State]]] = {
    "pending": _PENDING,
    "success": frozenset({State.SUCCEEDED}),
    "completed": frozenset({State.SUCCEEDED}),
    "canceled": frozenset({State.CANCELLED}),
    **{state.value: frozenset({state}) for state in State},
}


def status_words(text: str) -> tuple[str, ...]:
    """Read statuses and states in any case: `FAILED,retrying`."""
    found = tuple(word.lower() for word in words(text))
    unknown = [word for word in found if word not in STATUS_WORDS and word not in ("blocked", "retrying")]
    if unknown:
        known = ", ".join(sorted({*STATUS_WORDS, "blocked", "retrying"}))
        raise ValueError(f"{unknown[0][:40]!r} is no status; known: {known}")
    return found


def patterns(text: str) -> tuple[str, ...]:
    """Read names, each with `*` at most at its end."""
    found = words(text)
    for pattern in found:
        if not _PATTERN.fullmatch(pattern):
            raise ValueError("`*` may stand at the end of a name only")
    return found


def sort_order(text: str) -> bool:
    """Read the order: True for newest first."""
    if text not in ("create_time", "-create_time"):
        raise ValueError("must be create_time or -create_time")
    return text.startswith("-")


_TEXT: Final = {"type": "string"}
PARAMETERS: Final = (
    Parameter("status", "PENDING, RUNNING, … or a state; any case; several with commas.", status_words),
    Parameter("state", "The same as `status`.", status_words),
    Parameter("queue", "Queues; `*` at the end matches a prefix.", patterns),
    Parameter("name", "Functions; `*` at the end matches a prefix.", patterns),
    Parameter("label.", "`label.env=prod`: the label `env` is `prod`.", str, _TEXT),
    Parameter("created_after", "Created at or after this moment (RFC 3339).", moment, _TEXT),
    Parameter("created_before", "Created before this moment (RFC 3339).", moment, _TEXT),
    Parameter("parent_id", "Submitted from within this task."),
    Parameter("retry_of", "Retries by hand of this task."),
    Parameter("sort", "`-create_time` (newest first, the default) or `create_time`.", sort_order, _TEXT),
    Parameter(
        "limit",
        "At most so many items.",
        whole(1, PAGE_LIMIT),
        {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT, "default": PAGE},
    ),
    Parameter("cursor", "`next_cursor` of the page before."),
    Parameter("fields", "Only these members of each task, with commas.", field_names),
    Parameter("durable", "false: only what this process keeps in memory.", flag, {"type": "boolean", "default": True}),
)


def task_filter(query: Query) -> TaskFilter:
    """Return the filter that a query asks for; 400 for words that contradict each other."""
    states: set[State] | None = None
    held = retrying = None
    asked = (*query.get("status", ()), *query.get("state", ()))
    if asked:
        if query.get("status") and query.get("state"):
            raise _refuse("state", "give either status or state, not both")
        special = {word for word in asked if word in ("blocked", "retrying")}
        if special and len(asked) > 1:
            # A filter is one conjunction; a computed state beside others would be a disjunction.
            raise _refuse("status", f"{special.pop()} must stand alone")
        states = set().union(*(STATUS_WORDS.get(word, frozenset()) for word in asked))
        if "blocked" in special:
            states, held = {State.QUEUED}, True
        elif "retrying" in special:
            states, retrying = {State.SCHEDULED}, True
    return TaskFilter(
        states=None if states is None else frozenset(states),
        queues=query.get("queue", ()),
        functions=query.get("name", ()),
        labels=query.below("label.") or NOTHING,
        created_after=query.get("created_after"),
        created_before=query.get("created_before"),
        held=held,
        retrying=retrying,
        parent_id=query.get("parent_id"),
        retry_of=query.get("retry_of"),
    )


async def index(call: Call) -> Answer:
    """GET /tasks: one page, newest first, without inputs and results unless `fields=` names them."""
    query = call.query
    newest_first, after = read_cursor(query.get("cursor"), newest_first=query.get("sort"))
    page = await call.host.service.list(
        task_filter(query),
        limit=query.get("limit", PAGE),
        after=after,
        newest_first=newest_first,
        durable=query.get("durable", True),
    )
    names: tuple[str, ...] | None = query.get("fields")
    items: list[Any] = (
        [task_view(task, call.base, listed=True) for task in page.items]
        if names is None
        else [pick(task, call.base, names) for task in page.items]
    )
    cursor = None if page.next is None else write_cursor(page.next, newest_first=newest_first)
    headers = {} if cursor is None else {"Link": f'<{_next_link(call, cursor)}>; rel="next"'}
    return json_answer({"items": items, "next_cursor": cursor}, headers=headers)


def write_cursor(key: tuple[int, str], *, newest_first: bool) -> str:
    """Return the opaque text of a position."""
    text = f"{'desc' if newest_first else 'asc'}|{key[0]}|{key[1]}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(text: str | None, *, newest_first: bool | None) -> tuple[bool, tuple[int, str] | None]:
    """Return the order and the position of a cursor; 400 if it is not one of ours or of another order."""
    if text is None:
        return newest_first is not False, None
    try:
        found = _CURSOR.fullmatch(urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii"))
    except ValueError:
        found = None
    if found is None:
        raise _refuse("cursor", "is not a cursor of this list")
    order = found[1] == "desc"
    if newest_first is not None and newest_first is not order:
        raise _refuse("cursor", "belongs to a list in another order")
    return order, (int(found[2]), found[3])


def _refuse(key: str, message: str) -> HttpProblem:
    return HttpProblem("invalid-query", f"{key}: {message}", errors=[field_problem(key, message, "invalid")])


def _next_link(call: Call, cursor: str) -> str:
    pairs = parse_qsl(call.scope["query_string"].decode("ascii"), keep_blank_values=True)
    kept = [(key, value) for key, value in pairs if key != "cursor"]
    return f"{call.link('/tasks')}?{urlencode([*kept, ('cursor', cursor)])}"
