-- Claiming, ending and journalling attempts.

-- Which levels of priority each lane of the kinds ?1 in the queues ?2 (or any) has, with the oldest run_at of each: a
-- loose walk over the index, one seek for each. The lanes of a kind stand together: from `kind` up to `kind<`.
-- verb: ready_levels
with recursive
walked (name) as (
    select min(t.queue) from tasks t indexed by ready where t.state = 'queued' and t.held is null and ?2 is null
    union all
    select (select min(t.queue) from tasks t indexed by ready
        where t.state = 'queued' and t.held is null and t.queue > walked.name)
    from walked where walked.name is not null
),
queue (name) as (
    select value from jsonb_each(?2)
    union all
    select name from walked where name is not null
),
lane (kind, queue, executor) as (
    select k.value, queue.name, (
        select min(t.executor) from tasks t indexed by ready
        where t.state = 'queued' and t.held is null and t.queue = queue.name
            and t.executor >= k.value and t.executor < k.value || '<'
    )
    from jsonb_each(?1) k cross join queue
    union all
    select lane.kind, lane.queue, (
        select min(t.executor) from tasks t indexed by ready
        where t.state = 'queued' and t.held is null and t.queue = lane.queue
            and t.executor > lane.executor and t.executor < lane.kind || '<'
    )
    from lane where lane.executor is not null
),
level (executor, queue, priority) as (
    select lane.executor, lane.queue, (
        select t.priority from tasks t indexed by ready
        where t.state = 'queued' and t.held is null and t.queue = lane.queue and t.executor = lane.executor
        order by t.priority desc limit 1
    )
    from lane where lane.executor is not null
    union all
    select level.executor, level.queue, (
        select t.priority from tasks t indexed by ready
        where t.state = 'queued' and t.held is null and t.queue = level.queue and t.executor = level.executor
            and t.priority < level.priority
        order by t.priority desc limit 1
    )
    from level where level.priority is not null
)
select json_group_array(json_array(level.executor, level.queue, level.priority, (
    select t.run_at from tasks t indexed by ready
    where t.state = 'queued' and t.held is null and t.queue = level.queue and t.executor = level.executor
        and t.priority = level.priority
    order by t.run_at limit 1
)))
from level where level.priority is not null

-- How many are ready in each lane of ?1, each counted up to ?3.
-- verb: ready_counts
select json_group_array((
    select count(*) from (
        select 1 from tasks indexed by ready
        where state = 'queued' and held is null and queue = ?2 and executor = e.value limit ?3
    )
)) from jsonb_each(?1) e

-- verb: ready_rows
select json_group_array(${task}) from (
    select * from tasks indexed by ready
    where state = 'queued' and held is null and queue = ?1 and executor = ?2 and priority = ?3
    order by run_at, id limit ?4
)

-- The same three for a worker that takes only tasks with certain labels: they look at every ready row.
-- verb: selected_levels
select json_group_array(json_array(executor, queue, priority, oldest)) from (
    select t.executor, t.queue, t.priority, min(t.run_at) as oldest from tasks t indexed by ready
    where t.state = 'queued' and t.held is null and (?2 is null or t.queue in (select value from jsonb_each(?2)))
        and exists (select 1 from jsonb_each(?1) k where t.executor >= k.value and t.executor < k.value || '<')
        and not exists (
            select 1 from jsonb_each(?3) s left join labels l on l.task_id = t.id and l.name = s.key
            where l.value is not s.value
        )
    group by t.executor, t.queue, t.priority
)

-- verb: selected_counts
select json_group_array((
    select count(*) from (
        select 1 from tasks t indexed by ready
        where t.state = 'queued' and t.held is null and t.queue = ?2 and t.executor = e.value
            and not exists (
                select 1 from jsonb_each(?4) s left join labels l on l.task_id = t.id and l.name = s.key
                where l.value is not s.value
            )
        limit ?3
    )
)) from jsonb_each(?1) e

-- verb: selected_rows
select json_group_array(${task}) from (
    select * from tasks t indexed by ready
    where t.state = 'queued' and t.held is null and t.queue = ?1 and t.executor = ?2 and t.priority = ?3
        and not exists (
            select 1 from jsonb_each(?5) s left join labels l on l.task_id = t.id and l.name = s.key
            where l.value is not s.value
        )
    order by t.run_at, t.id limit ?4
)

-- The usual claim in one look: one lane of its kind, and only one level of priority in it. ?3 is the room; gives the
-- rows, their rowids, and whether there is a lower level or another lane (then the rows are not used).
-- verb: ready_lane
with top (priority) as materialized (
    select priority from tasks indexed by ready
    where state = 'queued' and held is null and queue = ?1 and executor = ?2
    order by priority desc limit 1
)
select json_group_array(${task}), json_group_array(place), exists (
    select 1 from tasks indexed by ready
    where state = 'queued' and held is null and queue = ?1 and executor = ?2
        and priority < (select priority from top)
) or exists (
    select 1 from tasks indexed by ready
    where state = 'queued' and held is null and queue = ?1 and executor > ?2 and executor < ?2 || '<'
)
from (
    select rowid as place, * from tasks indexed by ready
    where state = 'queued' and held is null and queue = ?1 and executor = ?2
        and priority = (select priority from top)
    order by run_at, id limit ?3
)

-- verb: take
update tasks set
    state = 'running', attempt = attempt + 1, worker = ?2, started_at = null, revision = revision + 1
where id in (select value from jsonb_each(?1))

-- verb: take_places
update tasks set
    state = 'running', attempt = attempt + 1, worker = ?2, started_at = null, revision = revision + 1
where rowid in (select value from jsonb_each(?1))

-- The `+` keeps the planner to the id: with statistics of a quiet moment it would scan the whole index of what runs.
-- verb: end_succeeded
update tasks set
    state = 'succeeded', result = e.value ->> 2, started_at = coalesce(e.value ->> 3, started_at),
    finished_at = e.value ->> 4, retain_until = e.value ->> 5, error = null, usage = null,
    unique_key = case when unique_spec ->> 1 = 'live' then null else unique_key end, revision = revision + 1
from jsonb_each(?1) e
where tasks.id = e.value ->> 0 and tasks.attempt = e.value ->> 1 and +tasks.state = 'running'

-- What stands behind the leases (id, attempt, expired_by) of completions; ?2 is the boot of the caller's clock.
-- verb: leased_rows
select json_group_array(json_array(
    e.key, t.queue, t.cancel_requested, t.cancel_reason, t.worker, t.started_at,
    w.id is null or w.lease_until <= e.value ->> 2 or w.boot <> ?2,
    case when t.cancel_requested then t.extras ->> 'schedule_id' end
))
from jsonb_each(?1) e
cross join tasks t on t.id = e.value ->> 0 and t.attempt = e.value ->> 1 and +t.state = 'running'
left join workers w on w.id = t.worker

-- verb: end_any
update tasks set
    state = e.value ->> 1,
    asked_at = case when run_at <> e.value ->> 2 then coalesce(asked_at, run_at) else asked_at end,
    run_at = coalesce(e.value ->> 2, run_at),
    failures = e.value ->> 3, crashes = e.value ->> 4,
    started_at = coalesce(e.value ->> 5, started_at),
    result = e.value ->> 6, error = e.value ->> 7, finished_at = e.value ->> 8, retain_until = e.value ->> 9,
    held = e.value ->> 10, usage = e.value ->> 11,
    worker = case when e.value ->> 8 is null then null else worker end,
    unique_key = case when e.value ->> 8 is not null and unique_spec ->> 1 = 'live' then null else unique_key end,
    revision = revision + 1
from jsonb_each(?1) e where tasks.id = e.value ->> 0

-- verb: insert_attempts
insert into attempts (task_id, attempt, outcome, worker, started_at, finished_at, error, usage)
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7
from jsonb_each(?1) where true
on conflict do nothing

-- verb: live_leases
select json_group_array(e.key)
from jsonb_each(?1) e
cross join tasks t on t.id = e.value ->> 0 and t.attempt = e.value ->> 1 and +t.state = 'running'

-- verb: insert_logs
insert into logs (task_id, attempt, seq, at, stream, level, logger, message)
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7
from jsonb_each(?1) where true
on conflict do nothing

-- verb: annotate
update tasks set
    checkpoint = coalesce(e.value ->> 1, checkpoint), progress = coalesce(e.value ->> 2, progress),
    revision = revision + (e.value ->> 3)
from jsonb_each(?1) e where tasks.id = e.value ->> 0
