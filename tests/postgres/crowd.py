"""A store with a million finished and a million future tasks around a few thousand live ones, filled in seconds."""

from __future__ import annotations

import json

import psycopg

from angelica.domain.task import Policy
from angelica.storage.rows import policy_text, worker_text
from tests.storage.world import START, worker_info

HOUR = 3_600_000_000
FEW = 500
SCHEDULES = 20_000
MEASURED = """case when n % 50 = 0 then '[0.5,1048576,"vmhwm"]' end"""
FORGET = (
    "delete from pg_statistic using pg_class where oid = starelid and relnamespace = 'angelica'::regnamespace",
    "update pg_class set reltuples = -1, relpages = 0 where relnamespace = 'angelica'::regnamespace",
)

TASKS = """
insert into angelica.tasks (
    id, function, version, queue, executor, priority, state, indexed, run_at, created_at, attempt, revision, worker,
    started_at, finished_at, retain_until, trace_id, payload, policy, result, usage, measured_at
)
select
    '{name}-' || lpad(n::text, 8, '0'), 'f', 1, '{queue}', 'async', 0, '{state}', {indexed}, {run_at},
    {start} - {hour} + n, {attempt}, {attempt} * 2, {worker}, {finished}, {finished}, {retain}, 'trace', '{{}}',
    '{policy}', null, {usage}, case when {usage} is not null then {finished}::bigint end
from generate_series(1, {count}) n;
"""
BATCHES = """
insert into angelica.claims (worker, ids)
select worker, array_agg(id) from (
    select id, worker, row_number() over (partition by worker order by id) as n from angelica.tasks
    where state = 'running'
) r group by worker, n / 100;
insert into angelica.listing (created_at, id) select created_at, id from angelica.tasks;
insert into angelica.retention (until, n, ids)
select min(retain_until), count(*), array_agg(id) from (
    select id, retain_until, row_number() over (order by retain_until) as n from angelica.tasks
    where state in ('succeeded', 'failed', 'cancelled')
) e group by retain_until / 60000000, n / 100;
"""
OTHERS = """
insert into angelica.attempts (task_id, attempt, outcome, finished_at)
select 'done-' || lpad(n::text, 8, '0'), 1, 'failed', {start} from generate_series(1, {some}) n;
insert into angelica.labels (task_id, name, value)
select 'done-' || lpad(n::text, 8, '0'), 'n', (n % 1000)::text from generate_series(1, {some}) n;
insert into angelica.schedules (
    id, phase, phase_reason, next_fire_at, version, runs, streak, rearms, runs_seen, keep_fires, function, owner,
    anchor, created_at, updated_at, tz_version, trigger_spec, run, rules
)
select
    's-' || lpad(n::text, 6, '0'), case when n % 100 = 0 then 'paused' else 'active' end, '',
    {start} + (n - {few}) * 1000000::bigint, 1, 0, 0, false, 1001, 0, 'f' || n % 1000, 'api', 0, {start}, {start}, '',
    '{{"every": 60000000}}', '[{{"function": "f"}}, {policy_json}, null]', '{{}}'
from generate_series(1, {schedules}) n;
insert into angelica.runs (schedule_id, task_id) select 's-' || lpad((n % 400)::text, 6, '0'), 'run-' || n
from generate_series(1, 800) n;
insert into angelica.fires (schedule_id, fire_time, slot, kind, count, recorded_at, keep_until)
select 's-' || lpad((n % {schedules})::text, 6, '0'), {start} - n, '', 'scheduled', 1, {start}, {start} + n
from generate_series(1, {some}) n;
insert into angelica.workers (id, host, boot, lease_until, seen_at, info)
select 'w' || n, 'h', 'boot-0', case when n = 2 then 0 else {start} + {hour} end, {start}, '{info}'
from generate_series(1, 20) n;
"""


def fill(url: str, big: int) -> None:
    """Fill a fresh schema, of whose tables the statistics stay as they were when there was next to nothing in them.

    Not logged and with the indexes made afterwards, which no planner knows of.
    """
    policy = policy_text(Policy())
    common = {"start": START, "hour": HOUR, "policy": policy, "few": FEW, "some": big // 5, "schedules": SCHEDULES}

    def tasks(name: str, count: int, state: str, queue: str = "default", **parts: object) -> str:
        usual = {"run_at": START - HOUR, "attempt": 0, "worker": "null", "finished": "null", "retain": "null"}
        usual["usage"] = "null"
        usual["indexed"] = {"queued": "'ready'", "scheduled": "'scheduled'", "failed": "'failed'"}.get(state, "null")
        return TASKS.format(
            **{**common, **usual, "name": name, "count": count, "state": state, "queue": queue, **parts}
        )

    ended = {"attempt": 1, "worker": "'gone'", "finished": START - HOUR}
    with psycopg.connect(url.partition("?")[0], autocommit=True) as connection:
        run = connection.execute
        run("set maintenance_work_mem = '256MB'")
        run("alter table angelica.tasks set unlogged, set (autovacuum_enabled = off)")
        run(tasks("first", 10, "succeeded", **ended, retain=START + HOUR))
        run("analyze")
        run("create temp table were as select oid, relname, relpages, reltuples from pg_class")
        indexes = connection.execute(
            "select indexname, indexdef from pg_indexes where schemaname = 'angelica' and tablename = 'tasks'"
            " and indexname <> 'tasks_pkey'"
        ).fetchall()
        for name, _ in indexes:
            run(f"drop index angelica.{name}")
        run(tasks("done", big, "succeeded", **ended, retain=f"{START} + (n - {FEW}) * 1000::bigint", usage=MEASURED))
        run(tasks("later", big, "scheduled", run_at=f"{START} + (n - {FEW}) * 1000::bigint"))
        run(tasks("ready", 3 * FEW, "queued", run_at=f"{START} - {HOUR} + n"))
        run(tasks("other", FEW, "queued", queue="other"))
        run(tasks("mine", 2 * FEW, "running", attempt=1, worker="'w1'"))
        run(tasks("lapsed", FEW, "running", attempt=1, worker="'w2'"))
        run(tasks("bad", FEW, "failed", **ended, retain=f"{START} + {HOUR}"))
        run(BATCHES)
        run(OTHERS.format(**common, policy_json=json.dumps(policy), info=worker_text(worker_info())))
        for _, definition in indexes:
            run(definition)
        run("insert into angelica.counters select 0, queue, state, count(*) from angelica.tasks group by queue, state")
        stale(connection)


def stale(connection: psycopg.Connection) -> None:
    """Have the sizes in the catalogue be those of before, which building an index has brought up to date."""
    connection.execute(
        "update pg_class c set relpages = w.relpages, reltuples = w.reltuples from were w"
        " where c.relname = w.relname and c.relnamespace = 'angelica'::regnamespace"
    )


def forget(url: str) -> None:
    """Have no statistics at all."""
    with psycopg.connect(url.partition("?")[0], autocommit=True) as connection:
        for statement in FORGET:
            connection.execute(statement)


def analyze(url: str) -> None:
    """Have fresh statistics."""
    with psycopg.connect(url.partition("?")[0], autocommit=True) as connection:
        connection.execute("analyze")
