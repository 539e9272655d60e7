-- Reading, never on the hot path.

-- verb: logs
select json_agg(json_build_array(l.task_id, l.attempt, l.seq, l.at, l.stream, l.level, l.logger, l.message)) from (
    select * from angelica.logs where task_id = $1 and (attempt, seq) > ($2::int, $3::int)
    order by attempt, seq limit $4::bigint
) l

-- verb: logs_of_attempt
select json_agg(json_build_array(l.task_id, l.attempt, l.seq, l.at, l.stream, l.level, l.logger, l.message)) from (
    select * from angelica.logs where task_id = $1 and attempt = $5::int and (attempt, seq) > ($2::int, $3::int)
    order by seq limit $4::bigint
) l

-- verb: attempts
select json_agg(
    json_build_array(task_id, attempt, outcome, worker, started_at, finished_at, error, usage) order by attempt
) from angelica.attempts where task_id = $1

-- The tasks of a function that ended last and were measured; of one that did not succeed, its attempts are elsewhere.
-- verb: measured_runs
select json_agg(json_build_array(id, attempt, state, worker, started_at, finished_at, null, usage)) from (
    select * from angelica.tasks
    where measured_at is not null and function = $1 order by measured_at desc, id desc limit $2::bigint
) t

-- Those that were not measured, among the $3 tasks that came last: there is no index over them, which each end would
-- have to pay for.
-- verb: unmeasured_runs
select json_agg(json_build_array(id, attempt, state, worker, started_at, finished_at, null, null)) from (
    select * from (
        select tasks.* from angelica.listing listing join lateral (
            select * from angelica.tasks t where t.id = listing.id offset 0
        ) tasks using (created_at, id)
        order by created_at desc, id desc limit $3::bigint
    ) l
    where usage is null and finished_at is not null and function = $1
    order by finished_at desc, id desc limit $2::bigint
) t

-- verb: attempts_of
select json_agg(json_build_array(task_id, attempt, outcome, worker, started_at, finished_at, error, usage))
from ${names} e join angelica.attempts a on a.task_id = e.value

-- verb: functions
select json_agg(json_build_array(name, version, executor, schema, defaults, doc, seen_at) order by name)
from angelica.functions

-- verb: counts
select json_agg(json_build_array(c.queue, c.state, c.n)) from (
    select queue, state, sum(n)::bigint as n from angelica.counters group by queue, state having sum(n) <> 0
) c

-- How many of each (rule, function) are held, each up to $1: a loose walk, one seek for each.
-- verb: held_counts
with recursive
rule (name) as (
    (select held from angelica.tasks where held is not null order by held limit 1)
    union all
    select (
        select t.held from angelica.tasks t where t.held is not null and t.held > rule.name order by t.held limit 1
    )
    from rule where rule.name is not null
),
waits (rule, function) as (
    select rule.name, (
        select t.function from angelica.tasks t
        where t.held is not null and t.held = rule.name order by t.function limit 1
    )
    from rule where rule.name is not null
    union all
    select waits.rule, (
        select t.function from angelica.tasks t
        where t.held is not null and t.held = waits.rule and t.function > waits.function order by t.function limit 1
    )
    from waits where waits.function is not null
)
select json_agg(json_build_array(w.rule, w.function, (
    select count(*) from (
        select 1 from angelica.tasks t
        where t.held is not null and t.held = w.rule and t.function = w.function limit $1::bigint
    ) c
))) from waits w where w.function is not null

-- verb: ahead
select
    (select count(*) from (
        select 1 from angelica.tasks
        where indexed = 'ready' and queue = $1 and executor = $2 and priority > $3::int
        limit $6::bigint
    ) a)
    + (select count(*) from (
        select 1 from angelica.tasks
        where indexed = 'ready' and queue = $1 and executor = $2 and priority = $3::int
            and (run_at, id) < ($4::bigint, $5) limit $6::bigint
    ) b)

-- The filter is put together from fixed parts (see reads.py); its values are parameters.
-- verb: list_tasks
select json_agg(${task}) from (select tasks.* from /* where */) t

-- verb: wrong_counts
select json_agg(json_build_array(queue, state, counted, stored)) from (
    select queue, state, sum(counted)::bigint as counted, sum(stored)::bigint as stored from (
        select queue, state, count(*) as counted, 0 as stored from angelica.tasks group by queue, state
        union all
        select queue, state, 0, n from angelica.counters
    ) b group by queue, state having sum(counted) <> sum(stored)
) w

-- verb: forget_counts
delete from angelica.counters

-- verb: recount
insert into angelica.counters (slot, queue, state, n)
select 0, queue, state, count(*) from angelica.tasks group by queue, state

-- verb: orphans
select json_build_object(
    'labels', (select count(*) from angelica.labels l where not exists (
        select 1 from angelica.tasks where id = l.task_id)),
    'attempts', (select count(*) from angelica.attempts a where not exists (
        select 1 from angelica.tasks where id = a.task_id)),
    'logs', (select count(*) from (select distinct task_id from angelica.logs) l where not exists (
        select 1 from angelica.tasks where id = l.task_id)),
    'runs', (select count(*) from angelica.runs r where not exists (
        select 1 from angelica.tasks where id = r.task_id and state in ('waiting', 'scheduled', 'queued', 'running'))),
    'running without a worker', (select count(*) from angelica.tasks where state = 'running' and worker is null)
)

-- Rows that those of a batch do not name, or that an index does not have.
-- verb: misplaced
select json_build_object(
    'running tasks that no claim names', (
        select count(*) from angelica.tasks t where t.state = 'running' and not exists (
            select 1 from (select worker, unnest(ids) as id from angelica.claims) c
            where c.id = t.id and c.worker = t.worker
        )
    ),
    'ended tasks that no batch names that is to be deleted in the same minute', (
        select count(*) from angelica.tasks t where t.state in ('succeeded', 'failed', 'cancelled') and not exists (
            select 1 from (select coalesce(until / 60000000, -1) as minute, unnest(ids) as id from angelica.retention) r
            where r.id = t.id and r.minute = coalesce(t.retain_until / 60000000, -1)
        )
    ),
    'tasks in no list', (select count(*) from angelica.tasks t where not exists (
        select 1 from angelica.listing l where l.created_at = t.created_at and l.id = t.id
    )),
    'listed tasks that are not there', (select count(*) from angelica.listing l where not exists (
        select 1 from angelica.tasks t where t.created_at = l.created_at and t.id = l.id
    )),
    'tasks in the wrong index', (select count(*) from angelica.tasks where indexed is distinct from case
        when state = 'queued' and held is null then 'ready'
        when state in ('scheduled', 'failed', 'cancelled') then state
    end)
)
