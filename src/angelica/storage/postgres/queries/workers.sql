-- Workers and what they hold.

-- verb: put_worker
insert into angelica.workers (id, host, boot, lease_until, seen_at, info)
values ($1, $2, $3, $4::bigint, $5::bigint, $6)
on conflict (id) do update set
    host = excluded.host, boot = excluded.boot, lease_until = excluded.lease_until, seen_at = excluded.seen_at,
    info = excluded.info

-- verb: mark_started
update angelica.tasks t set started_at = (e.value ->> 2)::bigint, revision = t.revision + 1
from ${items} e
where t.id = e.value ->> 0 and t.attempt = (e.value ->> 1)::int and t.state || '' = 'running' and t.worker || '' = $2
    and t.started_at is null

-- verb: parked_rows
select json_agg(json_build_array(d.id, d.queue)) from (
    select t.id, t.queue from jsonb_array_elements_text($2::text::jsonb) e (name)
    join angelica.tasks t on t.held is not null and t.held = $1 and t.function = e.name
    order by t.id for update of t
) d

-- verb: unpark
update angelica.tasks set held = null, revision = revision + 1 where id in (select e.value ->> 0 from ${items} e)

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
)) order by w.id) from angelica.workers w
