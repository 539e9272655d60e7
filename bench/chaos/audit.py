"""The audit of schedules: triggers that note each fire, each run and each move in the very transaction that made it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import apsw

TRIGGERS = """
create table audit (seq integer primary key, what text, schedule_id text, a, b, c, d, e, f);
create trigger audit_fire after insert on fires begin
    insert into audit values (null, 'fire', new.schedule_id, new.fire_time, new.task_id, new.reason,
        coalesce(new.last, new.fire_time), new.count, new.recorded_at);
end;
create trigger audit_move after update on schedules begin
    insert into audit values (null, 'move', new.id, old.next_fire_at, new.next_fire_at, new.last_fire_at, new.runs,
        new.phase, new.phase_reason);
end;
create trigger audit_enter after insert on runs begin
    insert into audit values (null, 'enter', new.schedule_id, new.task_id, new.waits_for, null, null, null, null);
end;
create trigger audit_wait after update on runs begin
    insert into audit values (null, 'wait', new.schedule_id, new.task_id, new.waits_for, null, null, null, null);
end;
create trigger audit_leave after delete on runs begin
    insert into audit values (null, 'leave', old.schedule_id, old.task_id, null, null, null, null, null);
end;
"""


class Entry(NamedTuple):
    """One note.

    `a` to `f` of a `fire`: time, task, reason, last, count, moment of the pass; of a `move`: next fire before and
    after, last fire, runs, phase, its reason; of `enter`, `wait`, `leave`: the task, what it waits for.
    """

    what: str
    a: object
    b: object
    c: object
    d: object
    e: object
    f: object


def install(path: Path) -> None:
    """Begin to note what happens in a store."""
    connection = apsw.Connection(str(path))
    connection.execute(TRIGGERS)
    connection.close()


def latest_moment(path: Path) -> int:
    """Return the latest moment of any pass, by whatever clock."""
    return int(_rows(path, "select max(recorded_at) from fires")[0][0] or 0)


def entries(path: Path) -> dict[str, list[Entry]]:
    """Return what has been noted of each schedule, in order."""
    found: dict[str, list[Entry]] = {}
    for schedule_id, *rest in _rows(path, "select schedule_id, what, a, b, c, d, e, f from audit order by seq"):
        found.setdefault(schedule_id, []).append(Entry(*rest))
    return found


def tasks(path: Path) -> list[str]:
    """Return the ids of all tasks."""
    return [row[0] for row in _rows(path, "select id from tasks")]


def _rows(path: Path, text: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute(text).fetchall()
    finally:
        connection.close()
