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
select json_group_array(json_array(tasks.id, queue))
from jsonb_each(?2) e cross join tasks indexed by parked
    on held is not null and held = ?1 and function = e.value

-- verb: unpark
update tasks set held = null, revision = revision + 1 where id in (select value ->> 0 from jsonb_each(?1))

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
