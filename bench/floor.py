"""The floor: what SQLite itself does for a queue of the barest kind, one connection and no engine, in the same run."""

from __future__ import annotations

import time
from pathlib import Path

import apsw

from bench.figures import Figure, Report

GROUP = "floor"
BATCH = 1_000
SCHEMA = """
create table tasks (id text primary key, payload text, state text, run_at integer, attempt integer, result text);
create index ready on tasks (run_at, id) where state = 'queued';
"""
INSERT = "insert into tasks values (?, '{\"args\":[1],\"kwargs\":{}}', 'queued', ?, 0, null)"
CLAIM = """
update tasks set state = 'running', attempt = attempt + 1
where id in (select id from tasks where state = 'queued' order by run_at, id limit ?) returning id, attempt
"""
COMPLETE = "update tasks set state = 'succeeded', result = '1' where id = ? and attempt = ? and state = 'running'"


def measure(report: Report, directory: Path, tasks: int) -> None:
    """Insert, then claim and complete in batches, each batch one commit on disk."""
    connection = apsw.Connection(str(directory / "floor.db"))
    connection.execute("pragma journal_mode = wal; pragma synchronous = full")
    connection.execute(SCHEMA)
    rows = [(f"{number:032x}", number) for number in range(tasks)]
    began = time.perf_counter()
    for start in range(0, tasks, BATCH):
        connection.execute("begin immediate")
        connection.executemany(INSERT, rows[start : start + BATCH])
        connection.execute("commit")
    insert = tasks / (time.perf_counter() - began)
    began = time.perf_counter()
    ended: list[tuple[object, ...]] = []
    while True:
        connection.execute("begin immediate")
        connection.executemany(COMPLETE, ended)
        ended = list(connection.execute(CLAIM, (BATCH,)))
        connection.execute("commit")
        if not ended:
            break
    drain = tasks / (time.perf_counter() - began)
    connection.close()
    report.add(Figure(GROUP, f"bare SQLite, insert, {BATCH} a commit", insert, "tasks/s"))
    report.add(Figure(GROUP, f"bare SQLite, claim and complete, {BATCH} a commit", drain, "tasks/s"))
    for ours, theirs, name in (
        (f"submit in bulk, {BATCH} a call", insert, "submit in bulk, of the floor"),
        ("drain, async no-op, 2 worker process(es)", drain, "drain, of the floor"),
    ):
        value = report.value(ours)
        if value is not None:
            report.add(Figure(GROUP, name, value / theirs * 100, "%"))
