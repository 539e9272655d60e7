-- Ending and journalling attempts, where the hot path (hot.sql) does not fit.

-- verb: end_succeeded
with ended as (select e.value ->> 0 as id, (e.value ->> 5)::bigint as retain_until from ${items} e),
kept as (${keep_ended})
update angelica.tasks t set
    state = 'succeeded', result = e.value ->> 2, started_at = coalesce((e.value ->> 3)::bigint, t.started_at),
    finished_at = (e.value ->> 4)::bigint, retain_until = (e.value ->> 5)::bigint, error = null,
    usage = null, unique_key = case when t.unique_spec::json ->> 1 = 'live' then null else t.unique_key end,
    revision = t.revision + 1
from ${items} e
where t.id = e.value ->> 0 and t.attempt = (e.value ->> 1)::int and t.state = 'running'

-- What stands behind the leases (id, attempt, expired_by) of completions; $2 is the boot of the caller's clock.
-- verb: leased_rows
select json_agg(json_build_array(
    e.key, t.queue, t.cancel_requested, t.cancel_reason, t.worker, t.started_at,
    w.id is null or w.lease_until <= (e.value ->> 2)::bigint or w.boot <> $2,
    case when t.cancel_requested then t.schedule_id end
))
from ${items} e
join (
    select id, queue, cancel_requested, cancel_reason, worker, started_at, schedule_id, attempt from angelica.tasks
    where id = any (array(select x.value ->> 0 from ${items} x)) and state = 'running' order by id for update
) t on t.id = e.value ->> 0 and t.attempt = (e.value ->> 1)::int
left join angelica.workers w on w.id = t.worker

-- verb: end_any
with ended as (
    select e.value ->> 0 as id, (e.value ->> 9)::bigint as retain_until from ${items} e where e.value ->> 8 is not null
),
kept as (${keep_ended})
update angelica.tasks t set
    state = e.value ->> 1,
    indexed = case when e.value ->> 1 in ('scheduled', 'failed', 'cancelled') then e.value ->> 1
        when e.value ->> 1 = 'queued' and e.value ->> 10 is null then 'ready' end,
    asked_at = case when t.run_at <> (e.value ->> 2)::bigint then coalesce(t.asked_at, t.run_at) else t.asked_at end,
    run_at = coalesce((e.value ->> 2)::bigint, t.run_at),
    failures = (e.value ->> 3)::int, crashes = (e.value ->> 4)::int,
    started_at = coalesce((e.value ->> 5)::bigint, t.started_at),
    result = e.value ->> 6, error = e.value ->> 7, finished_at = (e.value ->> 8)::bigint,
    retain_until = (e.value ->> 9)::bigint, held = e.value ->> 10, usage = e.value ->> 11,
    measured_at = case when e.value ->> 11 is not null then (e.value ->> 8)::bigint end,
    worker = case when e.value ->> 8 is null then null else t.worker end,
    unique_key = case when e.value ->> 8 is not null and t.unique_spec::json ->> 1 = 'live' then null
        else t.unique_key end,
    revision = t.revision + 1
from ${items} e where t.id = e.value ->> 0

-- verb: insert_attempts
insert into angelica.attempts (task_id, attempt, outcome, worker, started_at, finished_at, error, usage)
select
    e.value ->> 0, (e.value ->> 1)::int, e.value ->> 2, e.value ->> 3, (e.value ->> 4)::bigint,
    (e.value ->> 5)::bigint, e.value ->> 6, e.value ->> 7
from ${items} e
on conflict do nothing

-- Shared locks: nobody ends these attempts before what they leave behind is stored.
-- verb: live_leases
select json_agg(e.key)
from ${items} e
join (
    select id, attempt from angelica.tasks
    where id = any (array(select x.value ->> 0 from ${items} x)) and state = 'running' order by id for share
) t on t.id = e.value ->> 0 and t.attempt = (e.value ->> 1)::int

-- verb: insert_logs
insert into angelica.logs (task_id, attempt, seq, at, stream, level, logger, message)
select
    e.value ->> 0, (e.value ->> 1)::int, (e.value ->> 2)::int, (e.value ->> 3)::bigint, e.value ->> 4, e.value ->> 5,
    e.value ->> 6, e.value ->> 7
from ${items} e
on conflict do nothing

-- verb: annotate
update angelica.tasks t set
    checkpoint = coalesce(e.value ->> 1, t.checkpoint), progress = coalesce(e.value ->> 2, t.progress),
    revision = t.revision + (e.value ->> 3)::int
from ${items} e where t.id = e.value ->> 0
