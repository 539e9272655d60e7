-- Workers and what they hold.

-- The tasks that a worker runs, $1 its id: a claim may name one that it runs no more, or in a later one again.
-- fragment: held_by
angelica.tasks t where t.id = any (array(select unnest(c.ids) from angelica.claims c where c.worker = $1))
    and t.worker = $1 and t.state = 'running'

-- verb: put_worker
insert into angelica.workers (id, host, boot, lease_until, seen_at, info)
values ($1, $2, $3, $4::bigint, $5::bigint, $6)
on conflict (id) do update set
    host = excluded.host, boot = excluded.boot, lease_until = excluded.lease_until, seen_at = excluded.seen_at,
    info = excluded.info
returning control

-- verb: controls
select json_agg(json_build_array(d.id, d.control)) from (
    select id, control from angelica.workers where id = any (array(select value from ${names} e)) order by id for update
) d

-- verb: put_control
update angelica.workers set control = $2 where id = any (array(select value from ${names} e))

-- verb: mark_started
update angelica.tasks t set started_at = (e.value ->> 2)::bigint, revision = t.revision + 1
from ${items} e
where t.id = e.value ->> 0 and t.attempt = (e.value ->> 1)::int and t.state = 'running' and t.worker = $2
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

-- The index of a task that is held no more.
-- fragment: when_free
case when t.state = 'queued' then 'ready' else t.indexed end

-- verb: unpark
update angelica.tasks t set
    held = null, indexed = ${when_free}, executor = e.value ->> 1, revision = t.revision + 1
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
update angelica.tasks t set held = null, indexed = ${when_free}, revision = t.revision + 1
where t.id in (
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
update angelica.tasks t set held = null, indexed = ${when_free}, revision = t.revision + 1
where t.id in (
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
    (select queue from angelica.tasks where indexed = 'ready' order by queue limit 1)
    union all
    select (select t.queue from angelica.tasks t
        where t.indexed = 'ready' and t.queue > queue.name order by t.queue limit 1)
    from queue where queue.name is not null
),
lane (queue, executor) as (
    select queue.name, (
        select t.executor from angelica.tasks t
        where t.indexed = 'ready' and t.queue = queue.name order by t.executor limit 1
    )
    from queue where queue.name is not null
    union all
    select lane.queue, (
        select t.executor from angelica.tasks t
        where t.indexed = 'ready' and t.queue = lane.queue and t.executor > lane.executor
        order by t.executor limit 1
    )
    from lane where lane.executor is not null
)
select json_agg(json_build_array(queue, executor)) from lane where position(';' in executor) > 0

-- verb: park_lane
update angelica.tasks set held = $4, indexed = null, revision = revision + 1
where id in (
    select id from angelica.tasks
    where indexed = 'ready' and queue = $1 and executor = $2
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

-- Deletes the claims of which nothing runs any more on the way.
-- verb: held_leases
with named as (
    select c.place, i.id from angelica.claims c cross join lateral unnest(c.ids) i (id) where c.worker = $1
),
runs as (
    select n.place, t.id, t.attempt, t.cancel_requested, t.cancel_reason
    from named n cross join lateral (${task_named}) t where t.state = 'running' and t.worker = $1
),
over as (
    delete from angelica.claims where worker = $1 and place in (select place from named except select place from runs)
)
select json_agg(json_build_array(d.id, d.attempt, d.cancel_requested, d.cancel_reason) order by d.id) from (
    select distinct id, attempt, cancel_requested, cancel_reason from runs
) d

-- verb: count_running
select count(*) from ${held_by}

-- verb: void_lease
update angelica.workers set lease_until = 0 where id = $1

-- verb: delete_worker
delete from angelica.workers where id = $1

-- Who has claimed anything, and which of these leases are over.
-- verb: expired_rows
with void (name) as materialized (
    select holder.worker from (select distinct worker from angelica.claims) holder
    left join angelica.workers w on w.id = holder.worker
    where w.id is null or w.lease_until <= $1::bigint or w.boot <> $2
)
select json_agg(${task} order by t.id) from (
    select t.* from void cross join lateral (
        select t.* from angelica.tasks t
        where t.id = any (array(select unnest(c.ids) from angelica.claims c where c.worker = void.name))
            and t.worker = void.name and t.state = 'running'
        order by t.id limit $3::bigint
    ) t
    order by t.id limit $3::bigint
) t

-- verb: workers
select json_agg(json_build_array(w.info, w.lease_until, w.seen_at, (
    select count(*) from angelica.tasks t
    where t.id = any (array(select unnest(c.ids) from angelica.claims c where c.worker = w.id))
        and t.worker = w.id and t.state = 'running'
), w.control) order by w.id) from angelica.workers w
