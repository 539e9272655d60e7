-- Workers and what they hold.

-- verb: put_worker
insert into angelica.workers (id, host, boot, lease_until, seen_at, info)
values ($1, $2, $3, $4::bigint, $5::bigint, $6)
on conflict (id) do update set
    host = excluded.host, boot = excluded.boot, lease_until = excluded.lease_until, seen_at = excluded.seen_at,
    info = excluded.info
returning control

-- verb: controls
select json_agg(json_build_array(d.id, d.control)) from (
    select id, control from angelica.workers where id in (select value from ${names} e) order by id for update
) d

-- verb: put_control
update angelica.workers set control = $2 where id in (select value from ${names} e)

-- verb: mark_started
update angelica.tasks t set started_at = (e.value ->> 2)::bigint, revision = t.revision + 1
from ${items} e
where t.id = e.value ->> 0 and t.attempt = (e.value ->> 1)::int and t.state || '' = 'running' and t.worker || '' = $2
    and t.started_at is null

-- verb: parked_rows
select json_agg(json_build_array(d.id, d.executor, d.function)) from (
    select t.* from jsonb_array_elements_text($2::text::jsonb) e (name)
    cross join lateral (
        select id, executor, function from angelica.tasks
        where held is not null and held = $1 and function = e.name order by id limit $3::bigint for update
    ) t
    limit $3::bigint
) d

-- verb: unpark
update angelica.tasks t set held = null, executor = e.value ->> 1, revision = t.revision + 1
from ${items} e where t.id = e.value ->> 0

-- Which lanes have held rows for want of a capable worker: a loose walk, one seek for each.
-- verb: parked_lanes
with recursive lane (executor) as (
    (select executor from angelica.tasks where held = 'no_capable_worker' order by executor limit 1)
    union all
    select (select t.executor from angelica.tasks t
        where t.held = 'no_capable_worker' and t.executor > lane.executor order by t.executor limit 1)
    from lane where lane.executor is not null
)
select json_agg(executor) from lane where executor is not null

-- verb: unpark_lanes
update angelica.tasks set held = null, revision = revision + 1
where id in (
    select t.id from ${names} e
    cross join lateral (
        select id from angelica.tasks
        where held = 'no_capable_worker' and executor = e.value order by id limit $2::bigint for update
    ) t
    limit $2::bigint
)

-- The same of what is larger than every worker that was alive.
-- verb: oversized_lanes
with recursive lane (executor) as (
    (select executor from angelica.tasks where held = 'no_worker_fits' order by executor limit 1)
    union all
    select (select t.executor from angelica.tasks t
        where t.held = 'no_worker_fits' and t.executor > lane.executor order by t.executor limit 1)
    from lane where lane.executor is not null
)
select json_agg(executor) from lane where executor is not null

-- verb: free_oversized
update angelica.tasks set held = null, revision = revision + 1
where id in (
    select t.id from ${names} e
    cross join lateral (
        select id from angelica.tasks
        where held = 'no_worker_fits' and executor = e.value order by id limit $2::bigint for update
    ) t
    limit $2::bigint
)

-- The (queue, lane) with ready rows, of those that need more than a kind of executor.
-- verb: ready_lanes
with recursive
queue (name) as (
    (select queue from angelica.tasks where state = 'queued' and held is null order by queue limit 1)
    union all
    select (select t.queue from angelica.tasks t
        where t.state = 'queued' and t.held is null and t.queue > queue.name order by t.queue limit 1)
    from queue where queue.name is not null
),
lane (queue, executor) as (
    select queue.name, (
        select t.executor from angelica.tasks t
        where t.state = 'queued' and t.held is null and t.queue = queue.name order by t.executor limit 1
    )
    from queue where queue.name is not null
    union all
    select lane.queue, (
        select t.executor from angelica.tasks t
        where t.state = 'queued' and t.held is null and t.queue = lane.queue and t.executor > lane.executor
        order by t.executor limit 1
    )
    from lane where lane.executor is not null
)
select json_agg(json_build_array(queue, executor)) from lane where position(';' in executor) > 0

-- verb: park_lane
update angelica.tasks set held = $4, revision = revision + 1
where id in (
    select id from angelica.tasks
    where state = 'queued' and held is null and queue = $1 and executor = $2
    order by priority desc, run_at, id limit $3::bigint for update skip locked
)

-- What live workers have that are to run; $1 is the tick of the clock of boot $2. Their functions, which may be many,
-- only with $3 = 1.
-- verb: offers
select json_agg(json_build_array(
    id, coalesce(info::json -> 'labels', '{}'::json),
    case when $3::int = 1 then coalesce(info::json -> 'functions', '[]'::json) else '[]'::json end,
    coalesce(info::json -> 'cpu', '0'::json), coalesce(info::json -> 'memory', '0'::json),
    coalesce(info::json -> 'capacity', '{}'::json), info::json -> 'queues', coalesce(info::json -> 'select', '{}'::json)
))
from angelica.workers where lease_until > $1::bigint and boot = $2 and coalesce(control, 'run') = 'run'

-- verb: held_leases
select json_agg(json_build_array(d.id, d.attempt, d.cancel_requested, d.cancel_reason)) from (
    select id, attempt, cancel_requested, cancel_reason from angelica.tasks
    where state = 'running' and worker = $1 order by id
) d

-- verb: count_running
select count(*) from angelica.tasks where state = 'running' and worker = $1

-- verb: void_lease
update angelica.workers set lease_until = 0 where id = $1

-- verb: delete_worker
delete from angelica.workers where id = $1

-- Whose names are on running tasks (one seek for each), and which of these leases are over. Each is asked by itself: in
-- one join the planner would rather walk through all tasks in the order of their ids.
-- verb: expired_rows
with recursive holder (name) as (
    (select worker from angelica.tasks where state = 'running' order by worker limit 1)
    union all
    select (select t.worker from angelica.tasks t
        where t.state = 'running' and t.worker > holder.name order by t.worker limit 1)
    from holder where holder.name is not null
),
void (name) as materialized (
    select holder.name from holder left join angelica.workers w on w.id = holder.name
    where holder.name is not null and (w.id is null or w.lease_until <= $1::bigint or w.boot <> $2)
)
select json_agg(${task} order by t.id) from (
    select held.* from void cross join lateral (
        select * from angelica.tasks t where t.worker = void.name and t.state = 'running' order by t.id limit $3::bigint
    ) held
    order by held.id limit $3::bigint
) t

-- verb: workers
select json_agg(json_build_array(w.info, w.lease_until, w.seen_at, (
    select count(*) from angelica.tasks t where t.state = 'running' and t.worker = w.id
), w.control) order by w.id) from angelica.workers w
