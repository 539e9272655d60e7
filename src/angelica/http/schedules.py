"""Schedules over HTTP: create, list, show, replace, change, delete."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from angelica.domain.schedule import Phase, Schedule
from angelica.errors import NotSupported, VersionConflict
from angelica.http.answers import Answer, json_answer
from angelica.http.call import Call, invalid_body
from angelica.http.problems import HttpProblem, field_problem
from angelica.http.query import Parameter, flag, whole, words
from angelica.http.schedule_views import fire_view, schedule_view
from angelica.http.task_list import PAGE, PAGE_LIMIT, patterns
from angelica.http.tasks import matches
from angelica.runtime.schedule_drafts import read_schedule
from angelica.storage.protocol import ScheduleFilter

_CURSOR: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_VERSION: Final = re.compile(r'"(\d{1,18})"')


async def create(call: Call) -> Answer:
    """POST /schedules: 201, or 200 where the same id and body stand already."""
    refuse_key(call)
    draft = read_schedule(await call.json())
    schedule, created = await call.host.schedules.create(draft, created_by=call.caller)
    return stored(call, schedule, created=created)


def stored(call: Call, schedule: Schedule, *, created: bool) -> Answer:
    """The answer to a definition that is on disk."""
    headers = {"ETag": etag(schedule), "Location": call.link(f"/schedules/{schedule.id}")}
    return json_answer(view(call, schedule), 201 if created else 200, headers)


def view(call: Call, schedule: Schedule, *, listed: bool = False) -> dict[str, Any]:
    """Return the view of a schedule for this caller."""
    return schedule_view(schedule, call.base, now=call.host.clock.wall(), listed=listed)


def etag(schedule: Schedule) -> str:
    """Return the entity tag of a schedule: it counts edits of the definition, not fires."""
    return f'"{schedule.version}"'


def refuse_key(call: Call) -> None:
    """Refuse an Idempotency-Key, which schedules do not serve; a `schedule_id` of one's own does the same."""
    if call.header(b"idempotency-key") is not None:
        hint = "choose the schedule_id: the same id and body answer what stands"
        raise NotSupported("/Idempotency-Key", "is not served for schedules", hint=hint, rule="not_supported")


def states(text: str) -> frozenset[Phase]:
    """Read `active,paused`."""
    known = {phase.value: phase for phase in Phase}
    found = [word.lower() for word in words(text)]
    unknown = [word for word in found if word not in known]
    if unknown:
        raise ValueError(f"{unknown[0][:40]!r} is no state of a schedule; known: {', '.join(known)}")
    return frozenset(known[word] for word in found)


def owner(text: str) -> str:
    """Read `api` or `code`."""
    if text not in ("api", "code"):
        raise ValueError("must be api or code")
    return text


LIMIT: Final = Parameter(
    "limit",
    "At most so many items.",
    whole(1, PAGE_LIMIT),
    {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT, "default": PAGE},
)
PARAMETERS: Final = (
    Parameter("state", "active, paused, orphaned, completed; several with commas.", states),
    Parameter("name", "Functions; `*` at the end matches a prefix.", patterns),
    Parameter("owner", "`api`, or `code` for what was declared.", owner),
    Parameter("prefix", "Ids that begin so."),
    LIMIT,
    Parameter("cursor", "`next_cursor` of the page before."),
)
CANCEL_RUNNING: Final = Parameter(
    "cancel_running", "Also cancel its runs that have not ended.", flag, {"type": "boolean", "default": False}
)


async def index(call: Call) -> Answer:
    """GET /schedules: one page, in order of id."""
    query = call.query
    where = ScheduleFilter(
        phases=query.get("state"),
        functions=query.get("name", ()),
        owner=query.get("owner"),
        prefix=query.get("prefix", ""),
    )
    after = read_cursor(query.get("cursor"))
    page = await call.host.schedules.list(where, limit=query.get("limit", PAGE), after=after)
    cursor = None if page.next is None else urlsafe_b64encode(page.next.encode()).decode().rstrip("=")
    headers = {} if cursor is None else {"Link": f'<{_next_link(call, cursor)}>; rel="next"'}
    return json_answer(
        {"items": [view(call, each, listed=True) for each in page.items], "next_cursor": cursor}, headers=headers
    )


def read_cursor(text: str | None) -> str | None:
    """Return the id that a cursor stands for; 400 if it is not one of ours."""
    if text is None:
        return None
    try:
        found = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except ValueError:
        found = ""
    if not _CURSOR.fullmatch(found):
        message = "is not a cursor of this list"
        raise HttpProblem("invalid-query", f"cursor: {message}", errors=[field_problem("cursor", message, "invalid")])
    return found


def _next_link(call: Call, cursor: str) -> str:
    pairs = parse_qsl(call.scope["query_string"].decode("ascii"), keep_blank_values=True)
    kept = [(key, value) for key, value in pairs if key != "cursor"]
    return f"{call.link('/schedules')}?{urlencode([*kept, ('cursor', cursor)])}"


async def show(call: Call) -> Answer:
    """GET /schedules/{schedule_id}: with its last fire."""
    service = call.host.schedules
    schedule = await service.get(call.params["schedule_id"])
    headers = {"ETag": etag(schedule)}
    if matches(call.header(b"if-none-match"), headers["ETag"]):
        return Answer(304, headers=headers)
    last = await service.fires(schedule.id, before=None, limit=1)
    shown = view(call, schedule)
    shown["last_fire"] = fire_view(last[0], call.base) if last else None
    return json_answer(shown, headers=headers)


async def replace(call: Call) -> Answer:
    """PUT /schedules/{schedule_id}: the whole definition; what is not given stands at its default."""
    schedule_id = call.params["schedule_id"]
    draft = read_schedule(await call.json(), schedule_id=schedule_id)
    wanted = match(call)
    try:
        schedule, created = await call.host.schedules.put(draft, version=wanted, created_by=call.caller)
    except VersionConflict as error:
        raise precondition(error.current) from None
    return stored(call, schedule, created=created)


async def change(call: Call) -> Answer:
    """PATCH /schedules/{schedule_id}: a merge patch (RFC 7396); 412 or 409 if it was edited since."""
    changes = await call.json()
    if not isinstance(changes, Mapping):
        error = field_problem("", "must be a JSON object", "wrong_type", type="object")
        raise invalid_body([error], status=call.host.settings.validation_status)
    rest = {key: value for key, value in changes.items() if key != "version"}
    wanted = match(call)
    version = _version(call, changes.get("version"))
    try:
        schedule = await call.host.schedules.patch(
            call.params["schedule_id"], rest, version=wanted if wanted is not None else version
        )
    except VersionConflict as error:
        if wanted is None:
            raise
        raise precondition(error.current) from None
    return json_answer(view(call, schedule), headers={"ETag": etag(schedule)})


def _version(call: Call, value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63):
        return value
    error = field_problem("/version", "must be the version that you have seen", "wrong_type", type="integer")
    raise invalid_body([error], status=call.host.settings.validation_status)


def match(call: Call) -> int | None:
    """Return the version that `If-Match` names, None without one (or for `*`); 412 for a tag that is none of ours."""
    header = call.header(b"if-match")
    if header is None or header.strip() == "*":
        return None
    found = _VERSION.fullmatch(header.strip())
    if found is None:
        raise HttpProblem("precondition-failed", "If-Match must hold one ETag of this schedule")
    return int(found[1])


def precondition(version: int) -> HttpProblem:
    """Return 412: the schedule is at another version."""
    return HttpProblem("precondition-failed", f"the schedule is at version {version}", more={"version": version})


async def remove(call: Call) -> Answer:
    """DELETE /schedules/{schedule_id}: no further fires; runs go on unless `cancel_running`."""
    service = call.host.schedules
    schedule_id = call.params["schedule_id"]
    wanted = match(call)
    if wanted is not None and (version := (await service.get(schedule_id)).version) != wanted:
        raise precondition(version)
    await call.json(required=False)
    await service.delete(schedule_id, cancel_running=call.query.get("cancel_running", False))
    return Answer(204)
