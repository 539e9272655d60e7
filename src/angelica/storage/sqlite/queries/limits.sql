-- Limits: gates, who counts at them, and whom they hold.

-- verb: limits_of
select json_group_array(json_array(gate, declared, override, bucket))
from limits where gate in (select value from jsonb_each(?1))

-- verb: limits
select json_group_array(json_array(n.gate, l.declared, l.override, l.bucket, (
    select count(*) from passes where gate = n.gate and not refund
)))
from (
    select gate from limits where declared <> '{}' or override <> '{}' or bucket is not null
    union select gate from passes where not refund order by 1
) n left join limits l on l.gate = n.gate

-- The gates of queues and functions.
-- verb: governing
select json_group_array(gate) from limits where gate < 'limit:' or gate >= 'queue:'

-- verb: rated_queues
select json_group_array(gate) from limits where gate >= 'queue:' and gate < 'queue;' and bucket is not null

-- verb: put_limits
insert into limits (gate, declared, override)
select value ->> 0, value ->> 1, value ->> 2 from jsonb_each(?1) where true
on conflict (gate) do update set declared = excluded.declared, override = excluded.override

-- verb: clear_limits
update limits set override = '{}', bucket = null where gate in (select value from jsonb_each(?1))

-- verb: put_buckets
insert into limits (gate, bucket) select value ->> 0, value ->> 1 from jsonb_each(?1) where true
on conflict (gate) do update set bucket = excluded.bucket

-- verb: any_passes
select exists (select 1 from passes)

-- verb: count_passes
select json_group_array(json_array(value, (select count(*) from passes where gate = e.value and not refund)))
from jsonb_each(?1) e

-- verb: passes_of
select json_group_array(json_array(gate, task_id, at))
from jsonb_each(?1) e cross join passes p indexed by passers on p.task_id = e.value and not p.refund

-- verb: put_passes
insert into passes (gate, task_id, at) select value ->> 0, value ->> 1, value ->> 2 from jsonb_each(?1) where true
on conflict (gate, task_id) do update set at = excluded.at, refund = 0

-- verb: refund_passes
update passes set refund = 1 from jsonb_each(?1) e where gate = e.value ->> 0 and task_id = e.value ->> 1

-- verb: delete_passes
delete from passes where task_id in (select value from jsonb_each(?1)) and not refund

-- verb: refunds_of
select json_group_array(json_array(p.gate, p.at))
from jsonb_each(?1) e cross join passes p on p.gate = e.value and p.refund

-- verb: forget_refunds
delete from passes where gate in (select value from jsonb_each(?1)) and refund

-- verb: forget_begun
update passes set at = null where gate in (select value from jsonb_each(?1))

-- verb: drop_passes
delete from passes where not refund
    and not exists (select 1 from tasks where tasks.id = passes.task_id and state = 'running')

-- verb: stale_passes
select count(*) from passes p where not p.refund
    and not exists (select 1 from tasks t where t.id = p.task_id and t.state = 'running')

-- Running tasks that do not count at a gate of theirs.
-- fragment: uncounted
select gate, id from (
    select 'queue:' || queue as gate, id from tasks indexed by running
    where state = 'running' and exists (select 1 from limits where gate = 'queue:' || queue)
    union all
    select 'function:' || function, id from tasks indexed by running
    where state = 'running' and exists (select 1 from limits where gate = 'function:' || function)
    union all
    select 'limit:' || l.value, tasks.id from tasks indexed by running cross join json_each(extras -> 'limits') l
    where state = 'running' and extras is not null and exists (
        select 1 from limits where gate in ('limit:' || l.value, 'limit:' || substr(l.value, 1, instr(l.value, '/') - 1))
    )
) u where not exists (select 1 from passes p where p.gate = u.gate and p.task_id = u.id and not p.refund)

-- verb: missing_passes
select json_group_array(json_array(gate, id)) from (${uncounted})

-- verb: held_rules
with recursive rule (name) as (
    select min(t.held) from tasks t indexed by gated where t.held is not null
    union all
    select (select min(t.held) from tasks t indexed by gated where t.held is not null and t.held > rule.name)
    from rule where rule.name is not null
)
select json_group_array(name) from rule where name is not null

-- verb: held_levels
with recursive level (gate, priority) as (
    select e.value, (select max(t.priority) from tasks t indexed by gated where t.held is not null and t.held = e.value)
    from jsonb_each(?1) e
    union all
    select level.gate, (
        select max(t.priority) from tasks t indexed by gated
        where t.held is not null and t.held = level.gate and t.priority < level.priority
    )
    from level where level.priority is not null
)
select json_group_array(json_array(gate, priority, (
    select t.run_at from tasks t indexed by gated
    where t.held is not null and t.held = level.gate and t.priority = level.priority order by t.run_at limit 1
)))
from level where priority is not null

-- verb: held_rows
select json_group_array(json_array(id, executor, queue, priority, run_at)) from (
    select id, executor, queue, priority, run_at from tasks indexed by gated
    where held is not null and held = ?1 and priority = ?2 order by run_at, id limit ?3
)

-- verb: park
update tasks set held = e.value ->> 1, revision = revision + 1 from jsonb_each(?1) e where tasks.id = e.value ->> 0

-- verb: start
update tasks set
    state = 'running', attempt = attempt + 1, worker = ?2, started_at = null, revision = revision + 1
where id in (select value from jsonb_each(?1))
