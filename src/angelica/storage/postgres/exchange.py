"""The exchange in one statement: plain ends, their log lines and the next claim; None where it does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from angelica.clock import Now
from angelica.domain.lifecycle import Completion
from angelica.domain.task import State, Task
from angelica.storage.postgres.claims import Lane, columns, tasks_of
from angelica.storage.postgres.limit_verbs import Known
from angelica.storage.postgres.texts import joined, storable
from angelica.storage.postgres.transaction import PostgresStatements
from angelica.storage.protocol import LogLine

_SUCCEEDED: Final = State.SUCCEEDED
_NO_LINES: Final[list[list[Any]]] = [[], [], [], [], [], [], [], []]


class Wanted(NamedTuple):
    """What a worker is to take; `over` are earlier claims of its own of which nothing runs any more."""

    worker: str
    lanes: Sequence[Lane]
    over: Sequence[int]


def is_plain(ends: Sequence[Completion], journal: Sequence[LogLine]) -> bool:
    """Whether no question is open but each fence: all succeeded, each once, and only they left lines."""
    for end in ends:
        if (
            end.outcome != "succeeded"
            or end.state is not _SUCCEEDED
            or end.expired_by is not None
            or end.then
            or end.schedule_id is not None
            or end.uses
            or end.usage is not None
        ):
            return False
    leases = {end.task_id: end.attempt for end in ends}
    return len(leases) == len(ends) and all(leases.get(line.task_id) == line.attempt for line in journal)


async def exchange(
    db: PostgresStatements,
    ends: Sequence[Completion],
    wanted: Wanted,
    *,
    now: Now,
    journal: Sequence[LogLine],
    tell: str | None,
    known: Known,
) -> tuple[list[bool], list[Task] | None, int]:
    """Return which ends were accepted, what was taken, and the place of this claim.

    Nothing (None) is taken where a task has to be looked at: it may start no longer, or it has a limit, or the limits
    have changed.
    """
    worker, lanes, over = wanted
    what = (db.slot, tell, worker, now.wall, *columns(lanes), known.edition, list(known.functions), over)
    if ends:
        rows = await db.fetch("exchange", *what, *_end_columns(ends), *_line_columns(journal))
    else:  # half of the statement is half of the time that a task waits for an idle worker
        rows = await db.fetch("claim", *what)
    first = rows[0]
    stale = first["stale"]
    accepted = [True] * len(ends) if stale is None else [end.task_id not in stale for end in ends]
    return accepted, None if first["late"] else tasks_of(rows, lanes, worker), first["claimed"] or 0


def _end_columns(ends: Sequence[Completion]) -> tuple[str, ...]:
    # By id, so that two who end the same tasks wait for each other in one order.
    rows = sorted((e.task_id, e.attempt, e.result, e.started_at, e.finished_at, e.retain_until) for e in ends)
    return tuple(map(joined, zip(*rows, strict=True)))


def _line_columns(journal: Sequence[LogLine]) -> list[list[Any]]:
    if not journal:
        return _NO_LINES
    rows = [(li.task_id, li.attempt, li.seq, li.at, li.stream, li.level, li.logger, li.message) for li in journal]
    *plain, loggers, messages = [list(column) for column in zip(*rows, strict=True)]
    return [*plain, storable(loggers), storable(messages)]
