"""The log of a task over HTTP: JSON, plain text, one JSON object a line, or a tail that follows it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import msgspec

from angelica.domain.status import STATUS
from angelica.errors import NotFound
from angelica.http import sse
from angelica.http.answers import JSON, Answer, encode, json_answer
from angelica.http.call import NDJSON, Call
from angelica.http.prefer import choose
from angelica.http.problems import HttpProblem, field_problem
from angelica.http.query import Parameter, whole, words
from angelica.http.views import moment
from angelica.storage.protocol import LogLine

TEXT: Final = b"text/plain"
FORMS: Final = (JSON, TEXT, NDJSON, sse.MEDIA)
PAGE: Final = 1000
BEAT: Final = 0.5
"""Seconds between looks at a log that is being followed."""
BEATS_PER_COMMENT: Final = 30
STREAMS: Final = frozenset({"log", "stdout", "stderr", "note"})
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_CURSOR: Final = re.compile(r"(\d{1,9})-(\d{1,15})", re.ASCII)


class LineView(msgspec.Struct, gc=False):
    """One line; `cursor` is what to give as `after` to read on from it."""

    cursor: str
    attempt: int
    time: str
    stream: str
    level: str
    logger: str
    message: str


def line_view(line: LogLine) -> LineView:
    """Return the view of a line."""
    cursor = f"{line.attempt}-{line.seq}"
    return LineView(cursor, line.attempt, moment(line.at), line.stream, line.level, line.logger, line.message)


def read_position(text: str) -> tuple[int, int]:
    """Read a cursor `attempt-seq`."""
    found = _CURSOR.fullmatch(text)
    if not found:
        raise ValueError("must be a cursor like 1-42 (attempt, line)")
    return int(found[1]), int(found[2])


def read_streams(text: str) -> frozenset[str]:
    """Read the names of streams."""
    found = frozenset(words(text))
    if not found <= STREAMS:
        raise ValueError(f"must be of {', '.join(sorted(STREAMS))}")
    return found


def read_level(text: str) -> int:
    """Read the lowest level that is shown."""
    if text.lower() not in LEVELS:
        raise ValueError(f"must be one of {', '.join(LEVELS)}")
    return LEVELS[text.lower()]


PARAMETERS: Final = (
    Parameter("attempt", "Only this attempt.", whole(1, 10**9), {"type": "integer", "minimum": 1}),
    Parameter("stream", "Only these: log, stdout, stderr, note.", read_streams),
    Parameter("level", "This level and above.", read_level, {"type": "string", "enum": list(LEVELS)}),
    Parameter("after", "Lines after this cursor.", read_position),
    Parameter("limit", "At most so many lines.", whole(1, PAGE), {"type": "integer", "minimum": 1, "maximum": PAGE}),
)


def wanted(call: Call, lines: Sequence[LogLine]) -> list[LogLine]:
    """Return the lines that the filters of the query let through."""
    streams = call.query.get("stream")
    level = call.query.get("level")
    return [
        line
        for line in lines
        if (streams is None or line.stream in streams)
        and (level is None or LEVELS.get(line.level.lower(), LEVELS["info"]) >= level)
    ]


async def show(followers: sse.Followers, call: Call) -> Answer:
    """GET /tasks/{task_id}/logs."""
    form = choose(call.headers.get(b"accept"), FORMS)
    service = call.host.service
    task = await service.get(call.params["task_id"])
    if form == sse.MEDIA:
        return await _tail(followers, call, task.id)
    limit = call.query.get("limit", PAGE)
    after = call.query.get("after", (0, 0))
    lines = await service.logs(task.id, attempt=call.query.get("attempt"), after=after, limit=limit)
    # The cursor counts what was read, not what the filters let through: a page may be empty and not the last.
    last = f"{lines[-1].attempt}-{lines[-1].seq}" if lines else None
    cursor = last if len(lines) == limit else None
    shown = wanted(call, lines)
    headers = {} if cursor is None else {"X-Next-Cursor": cursor}
    if form == TEXT:
        text = "".join(f"{line.message}\n" for line in shown)
        return Answer(200, text.encode("utf-8", "replace"), b"text/plain; charset=utf-8", headers)
    if form == NDJSON:
        return Answer(200, b"".join(encode(line_view(line)) + b"\n" for line in shown), NDJSON, headers)
    views = [line_view(line) for line in shown]
    return json_answer({"items": views, "next_cursor": cursor, "last": last}, headers=headers)


async def _tail(followers: sse.Followers, call: Call, task_id: str) -> Answer:
    after = call.query.get("after", (0, 0))
    resumed = call.header(b"last-event-id")
    if resumed:
        try:
            after = read_position(resumed)
        except ValueError as error:
            wrong = field_problem("Last-Event-ID", str(error), "invalid")
            raise HttpProblem("invalid-header", f"Last-Event-ID {error}", errors=[wrong]) from None
    followers.check(call.caller)
    await call.body()  # so that only a disconnect can come
    pieces = followers.follow(call.caller, call.receive, _pieces(call, task_id, after))
    return Answer(200, pieces, sse.MEDIA, dict(sse.HEADERS))


async def _pieces(call: Call, task_id: str, after: tuple[int, int]) -> AsyncGenerator[bytes, None]:
    """The lines as they come, a comment every 15 s, and `end` with the status when the task has ended."""
    service = call.host.service
    attempt = call.query.get("attempt")
    yield sse.OPENING
    quiet = 0
    task = await service.get(task_id)
    while True:
        # The state is read before the lines: when it says "ended", the lines that follow are all of them.
        ended = task.is_terminal
        lines = await service.logs(task_id, attempt=attempt, after=after, limit=PAGE)
        if lines:
            after = lines[-1].attempt, lines[-1].seq
            shown = wanted(call, lines)
            if shown:
                yield b"".join([sse.event("log", view, view.cursor) for view in map(line_view, shown)])
                quiet = 0
            if len(lines) == PAGE:
                continue
        if ended:
            data: dict[str, Any] = {"task_id": task_id, "status": STATUS[task.state], "state": task.state.value}
            yield sse.event("end", data)
            return
        if call.host.state != "RUNNING":
            return  # let the server stop; the reader comes back with Last-Event-ID
        quiet += 1
        if quiet % BEATS_PER_COMMENT == 0:
            yield sse.COMMENT
        try:
            task = await service.wait(task_id, BEAT)
        except NotFound:
            yield sse.event("end", {"task_id": task_id, "status": None, "state": "deleted"})
            return
