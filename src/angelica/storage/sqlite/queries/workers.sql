-- Workers and what they hold.

-- verb: put_worker
insert into workers (id, host, boot, lease_until, seen_at, info) values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (id) do update set
    host = excluded.host, boot = excluded.boot, lease_until = excluded.lease_until, seen_at = excluded.seen_at,
    info = excluded.info
returning control

-- verb: controls
select json_group_array(json_array(id, control)) from workers where id in (select value from jsonb_each(?1))

-- verb: put_control
update workers set control = ?2 where id in (select value from jsonb_each(?1))

-- verb: mark_started
update tasks set started_at = e.value ->> 2, revision = revision + 1
from jsonb_each(?1) e
where tasks.id = e.value ->> 0 and tasks.attempt = e.value ->> 1 and +tasks.state = 'running' and +tasks.worker = ?2
    and tasks.started_at is null

-- verb: parked_rows
select json_group_array(json_array(id, executor, function))
from (
    select tasks.id, executor, function from jsonb_each(?2) e cross join tasks indexed by parked
        on held is not null and held = ?1 and function = e.value
    limit ?3
)

-- verb: unpark
update tasks set held = null, executor = e.value ->> 1, revision = revision + 1
from jsonb_each(?1) e where tasks.id = e.value ->> 0

-- Which lanes have held rows for want of a capable worker: a loose walk, one seek for each.
-- verb: parked_lanes
with recursive lane (executor) as (
    select min(executor) from tasks indexed by incapable where held = 'no_capable_worker'
    union all
    select (select min(t.executor) from tasks t indexed by incapable
        where t.held = 'no_capable_worker' and t.executor > lane.executor)
    from lane where lane.executor is not null
)
select json_group_array(executor) from lane where executor is not null

-- verb: unpark_lanes
update tasks set held = null, revision = revision + 1
where rowid in (
    select t.rowid from jsonb_each(?1) e cross join tasks t indexed by incapable
        on t.held = 'no_capable_worker' and t.executor = e.value
    limit ?2
)

-- The same of what is larger than every worker that was alive.
-- verb: oversized_lanes
with recursive lane (executor) as (
    select min(executor) from tasks indexed by oversized where held = 'no_worker_fits'
    union all
    select (select min(t.executor) from tasks t indexed by oversized
        where t.held = 'no_worker_fits' and t.executor > lane.executor)
    from lane where lane.executor is not null
)
select json_group_array(executor) from lane where executor is not null

-- verb: free_oversized
update tasks set held = null, revision = revision + 1
where rowid in (
    select t.rowid from jsonb_each(?1) e cross join tasks t indexed by oversized
        on t.held = 'no_worker_fits' and t.executor = e.value
    limit ?2
)

-- The (queue, lane) with ready rows, of those that need more than a kind of executor.
-- verb: ready_lanes
with recursive
queue (name) as (
    select min(t.queue) from tasks t indexed by ready where t.state = 'queued' and t.held is null
    union all
    select (select min(t.queue) from tasks t indexed by ready
        where t.state = 'queued' and t.held is null and t.queue > queue.name)
    from queue where queue.name is not null
),
lane (queue, executor) as (
    select queue.name, (
        select min(t.executor) from tasks t indexed by ready
        where t.state = 'queued' and t.held is null and t.queue = queue.name
    )
    from queue where queue.name is not null
    union all
    select lane.queue, (
        select min(t.executor) from tasks t indexed by ready
        where t.state = 'queued' and t.held is null and t.queue = lane.queue and t.executor > lane.executor
    )
    from lane where lane.executor is not null
)
select json_group_array(json_array(queue, executor)) from lane where instr(executor, ';') > 0

-- verb: park_lane
update tasks set held = ?4, revision = revision + 1
where rowid in (
    select rowid from tasks indexed by ready
    where state = 'queued' and held is null and queue = ?1 and executor = ?2
    order by priority desc, run_at, id limit ?3
)

-- What live workers have that are to run; ?1 is the tick of the clock of boot ?2. Their functions, which may be many,
-- only with ?3 = 1.
-- verb: offers
select json_group_array(json_array(
    id, json(coalesce(info ->> 'labels', '{}')), json(iif(?3 = 1, coalesce(info ->> 'functions', '[]'), '[]')),
    coalesce(info ->> 'cpu', 0), coalesce(info ->> 'memory', 0), json(coalesce(info ->> 'capacity', '{}')),
    json(coalesce(info ->> 'queues', 'null')), json(coalesce(info ->> 'select', '{}'))
))
from workers where lease_until > ?1 and boot = ?2 and coalesce(control, 'run') = 'run'

-- verb: held_leases
select json_group_array(json_array(id, attempt, cancel_requested, cancel_reason)) from (
    select id, attempt, cancel_requested, cancel_reason from tasks indexed by running
    where state = 'running' and worker = ?1 order by id
)

-- verb: count_running
select count(*) from tasks indexed by running where state = 'running' and worker = ?1

-- verb: void_lease
update workers set lease_until = 0 where id = ?1

-- verb: delete_worker
delete from workers where id = ?1

-- Whose names are on running tasks (one seek for each), and which of these leases are over.
-- verb: expired_rows
with recursive holder (name) as (
    select min(worker) from tasks indexed by running where state = 'running'
    union all
    select (select min(tasks.worker) from tasks indexed by running
        where state = 'running' and tasks.worker > holder.name)
    from holder where holder.name is not null
),
void (name) as materialized (
    select holder.name from holder left join workers w on w.id = holder.name
    where holder.name is not null and (w.id is null or w.lease_until <= ?1 or w.boot <> ?2)
)
select json_group_array(${task}) from (
    select tasks.* from void cross join tasks indexed by running on tasks.worker = void.name and state = 'running'
    order by tasks.id limit ?3
)

-- verb: workers
select json_group_array(json_array(info, lease_until, seen_at, (
    select count(*) from tasks indexed by running where state = 'running' and worker = w.id
), control)) from (select * from workers order by id) w
