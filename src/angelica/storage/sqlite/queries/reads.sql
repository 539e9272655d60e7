-- Reading, never on the hot path.

-- verb: logs
select json_group_array(json_array(task_id, attempt, seq, at, stream, level, logger, message)) from (
    select * from logs where task_id = ?1 and (attempt, seq) > (?2, ?3) order by attempt, seq limit ?4
)

-- verb: logs_of_attempt
select json_group_array(json_array(task_id, attempt, seq, at, stream, level, logger, message)) from (
    select * from logs where task_id = ?1 and attempt = ?5 and (attempt, seq) > (?2, ?3) order by seq limit ?4
)

-- verb: attempts
select json_group_array(json_array(task_id, attempt, outcome, worker, started_at, finished_at, error, usage)) from (
    select * from attempts where task_id = ?1 order by attempt
)

-- The tasks of a function that ended last and were measured; of one that did not succeed, its attempts are elsewhere.
-- verb: measured_runs
select json_group_array(json_array(id, attempt, state, worker, started_at, finished_at, null, usage)) from (
    select * from tasks indexed by measured
    where usage is not null and finished_at is not null and function = ?1 order by finished_at desc, id desc limit ?2
)

-- Those that were not measured, among the ?3 tasks that came last: there is no index over them, which each end would
-- have to pay for.
-- verb: unmeasured_runs
select json_group_array(json_array(id, attempt, state, worker, started_at, finished_at, null, null)) from (
    select * from (select * from tasks indexed by listing order by created_at desc, id desc limit ?3)
    where usage is null and finished_at is not null and function = ?1 order by finished_at desc, id desc limit ?2
)

-- verb: attempts_of
select json_group_array(json_array(task_id, attempt, outcome, worker, started_at, finished_at, error, usage))
from jsonb_each(?1) e cross join attempts on task_id = e.value

-- verb: functions
select json_group_array(json_array(name, version, executor, schema, defaults, doc, seen_at)) from (
    select * from functions order by name
)

-- verb: counts
select json_group_array(json_array(queue, state, n)) from counters where n <> 0

-- How many of each (rule, function) are held, each up to ?1: a loose walk, one seek for each.
-- verb: held_counts
with recursive
rule (name) as (
    select min(t.held) from tasks t indexed by parked where t.held is not null
    union all
    select (select min(t.held) from tasks t indexed by parked where t.held is not null and t.held > rule.name)
    from rule where rule.name is not null
),
waits (rule, function) as (
    select rule.name, (
        select min(t.function) from tasks t indexed by parked where t.held is not null and t.held = rule.name
    )
    from rule where rule.name is not null
    union all
    select waits.rule, (
        select min(t.function) from tasks t indexed by parked
        where t.held is not null and t.held = waits.rule and t.function > waits.function
    )
    from waits where waits.function is not null
)
select json_group_array(json_array(rule, function, (
    select count(*) from (
        select 1 from tasks t indexed by parked
        where t.held is not null and t.held = waits.rule and t.function = waits.function limit ?1
    )
))) from waits where function is not null

-- verb: ahead
select
    (select count(*) from (
        select 1 from tasks indexed by ready
        where state = 'queued' and held is null and queue = ?1 and executor = ?2 and priority > ?3 limit ?6
    ))
    + (select count(*) from (
        select 1 from tasks indexed by ready
        where state = 'queued' and held is null and queue = ?1 and executor = ?2 and priority = ?3
            and (run_at, id) < (?4, ?5) limit ?6
    ))

-- The filter is put together from fixed parts (see reads.py); its values are parameters.
-- verb: list_tasks
select json_group_array(${task}) from (select * from tasks /* where */)

-- verb: wrong_counts
select json_group_array(json_array(queue, state, counted, stored)) from (
    select queue, state, sum(counted) as counted, sum(stored) as stored from (
        select queue, state, count(*) as counted, 0 as stored from tasks group by queue, state
        union all
        select queue, state, 0, n from counters
    ) group by queue, state having sum(counted) <> sum(stored)
)

-- verb: forget_counts
delete from counters

-- verb: recount
insert into counters (queue, state, n) select queue, state, count(*) from tasks group by queue, state

-- verb: orphans
select json_object(
    'labels', (select count(*) from labels where not exists (select 1 from tasks where id = task_id)),
    'attempts', (select count(*) from attempts where not exists (select 1 from tasks where id = task_id)),
    'logs', (select count(*) from (select distinct task_id from logs)
        where not exists (select 1 from tasks where id = task_id)),
    'runs', (select count(*) from runs where not exists (select 1 from tasks
        where id = task_id and state in ('waiting', 'scheduled', 'queued', 'running'))),
    'running without a worker', (select count(*) from tasks indexed by running
        where state = 'running' and worker is null)
)
