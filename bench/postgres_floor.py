"""What the server gives a bare exchange: raw statements on one narrow table, no features, one process."""

from __future__ import annotations

import time

import asyncpg

from bench.figures import Figure, Report

GROUP = "floor"
BATCH = 500

TABLE = """
create schema bare;
create table bare.tasks (id text collate "C" primary key, state text not null, run_at bigint not null,
    attempt int not null default 0, payload text not null, result text) with (fillfactor = 50);
create index on bare.tasks (run_at, id) where state = 'queued'
"""
INSERT = """
insert into bare.tasks (id, state, run_at, payload)
select id, 'queued', run_at, payload from unnest($1::text[], $2::bigint[], $3::text[]) t (id, run_at, payload)
"""
EXCHANGE = """
with ended as (
    update bare.tasks t set state = 'succeeded', result = e.result
    from unnest($1::text[], $2::int[], $3::text[]) e (id, attempt, result)
    where t.id = e.id and t.attempt = e.attempt and t.state || '' = 'running'
),
picked as materialized (
    select ctid as place from bare.tasks where state = 'queued' order by run_at, id limit $4 for update skip locked
)
update bare.tasks t set state = 'running', attempt = attempt + 1 from picked p where t.ctid = p.place
returning t.id, t.attempt, t.payload
"""
SETTINGS = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}


async def measure(report: Report, url: str, tasks: int) -> None:
    """Insert in bulk, then drain."""
    raw = await asyncpg.connect(url, server_settings=SETTINGS)
    await raw.execute(TABLE)
    began = time.perf_counter()
    for start in range(0, tasks, 1000):
        numbers = range(start, start + 1000)
        await raw.execute(INSERT, [f"{n:012d}" for n in numbers], list(numbers), ["[1]"] * 1000)
    report.add(
        Figure(GROUP, "bare PostgreSQL, insert, 1000 a statement", tasks / (time.perf_counter() - began), "rows/s")
    )
    began = time.perf_counter()
    ends: list[tuple[str, int, str]] = []
    done = 0
    while True:
        ids, attempts, results = ([list(column) for column in zip(*ends, strict=True)]) if ends else ([], [], [])
        rows = await raw.fetch(EXCHANGE, ids, attempts, results, BATCH)
        done += len(ends)
        if not rows:
            break
        ends = [(row["id"], row["attempt"], "1") for row in rows]
    report.add(Figure(GROUP, "bare PostgreSQL, drain, 1 process", done / (time.perf_counter() - began), "tasks/s"))
    await raw.close()
