-- Limits: gates, who counts at them, and whom they hold. Who claims at gates, or changes them, holds the one lock of
-- the limits (`lock_limits`) and waits for nothing else; who ends attempts only takes rows of his own out.

-- verb: lock_limits
select count(pg_advisory_xact_lock(k.key)) from (
    select hashtextextended('angelica ' || e.value, 0) as key from ${names} e order by 1
) k

-- verb: limits_of
select json_agg(json_build_array(gate, declared, override, bucket))
from angelica.limits where gate in (select value from ${names} e)

-- verb: limits
select json_agg(json_build_array(n.gate, l.declared, l.override, l.bucket, (
    select count(*) from angelica.passes p where p.gate = n.gate and not p.refund
)) order by n.gate)
from (
    select gate from angelica.limits where declared <> '{}' or override <> '{}' or bucket is not null
    union select gate from angelica.passes where not refund
) n left join angelica.limits l on l.gate = n.gate

-- The gates of queues and functions.
-- verb: governing
select json_agg(json_build_array(gate, declared, override))
from angelica.limits where gate < 'limit:' or gate >= 'queue:'

-- verb: rated_queues
select json_agg(gate order by gate) from angelica.limits
where gate >= 'queue:' and gate < 'queue;' and bucket is not null

-- verb: put_limits
insert into angelica.limits (gate, declared, override)
select e.value ->> 0, e.value ->> 1, e.value ->> 2 from ${items} e
on conflict (gate) do update set declared = excluded.declared, override = excluded.override

-- verb: clear_limits
update angelica.limits set override = '{}', bucket = null where gate in (select value from ${names} e)

-- verb: put_buckets
insert into angelica.limits (gate, bucket) select e.value ->> 0, e.value ->> 1 from ${items} e
on conflict (gate) do update set bucket = excluded.bucket

-- verb: any_passes
select exists (select 1 from angelica.passes)

-- verb: count_passes
select json_agg(json_build_array(
    e.value, (select count(*) from angelica.passes p where p.gate = e.value and not p.refund)
)) from ${names} e

-- verb: passes_of
select json_agg(json_build_array(p.gate, p.task_id, p.at))
from ${names} e join angelica.passes p on p.task_id = e.value and not p.refund

-- verb: put_passes
insert into angelica.passes (gate, task_id, at)
select e.value ->> 0, e.value ->> 1, (e.value ->> 2)::bigint from ${items} e
on conflict (gate, task_id) do update set at = excluded.at, refund = false

-- verb: refund_passes
update angelica.passes p set refund = true from ${items} e
where p.gate = e.value ->> 0 and p.task_id = e.value ->> 1

-- verb: delete_passes
delete from angelica.passes where task_id = any (array(select value from ${names} e)) and not refund

-- verb: refunds_of
select json_agg(json_build_array(p.gate, p.at))
from ${names} e join angelica.passes p on p.gate = e.value and p.refund

-- verb: forget_refunds
delete from angelica.passes where gate in (select value from ${names} e) and refund

-- verb: forget_begun
update angelica.passes set at = null where gate in (select value from ${names} e) and at is not null

-- verb: drop_passes
delete from angelica.passes p where not p.refund
    and not exists (select 1 from angelica.tasks t where t.id = p.task_id and t.state = 'running')

-- verb: stale_passes
select count(*) from angelica.passes p where not p.refund
    and not exists (select 1 from angelica.tasks t where t.id = p.task_id and t.state = 'running')

-- fragment: runs
angelica.tasks t where t.id = any (array(select unnest(c.ids) from angelica.claims c)) and t.state = 'running'

-- Running tasks that do not count at a gate of theirs.
-- fragment: uncounted
select gate, id from (
    select 'queue:' || t.queue as gate, t.id from ${runs}
        and exists (select 1 from angelica.limits where gate = 'queue:' || t.queue)
    union all
    select 'function:' || t.function, t.id from ${runs}
        and exists (select 1 from angelica.limits where gate = 'function:' || t.function)
    union all
    select 'limit:' || l.name, r.id from (select t.id, t.extras from ${runs} and t.extras is not null) r
    cross join lateral json_array_elements_text(coalesce(r.extras::json -> 'limits', '[]')) l (name)
    where exists (
        select 1 from angelica.limits where gate in ('limit:' || l.name, 'limit:' || split_part(l.name, '/', 1))
    )
) u where not exists (
    select 1 from angelica.passes p where p.gate = u.gate and p.task_id = u.id and not p.refund
)

-- verb: missing_passes
select json_agg(json_build_array(gate, id)) from (${uncounted}) m

-- verb: held_rules
with recursive rule (name) as (
    (select held from angelica.tasks where held is not null order by held limit 1)
    union all
    select (
        select t.held from angelica.tasks t where t.held is not null and t.held > rule.name order by t.held limit 1
    )
    from rule where rule.name is not null
)
select json_agg(name order by name) from rule where name is not null

-- verb: held_levels
with recursive level (gate, priority) as (
    select e.value, (
        select t.priority from angelica.tasks t
        where t.held is not null and t.held = e.value order by t.priority desc limit 1
    )
    from ${names} e
    union all
    select level.gate, (
        select t.priority from angelica.tasks t
        where t.held is not null and t.held = level.gate and t.priority < level.priority
        order by t.priority desc limit 1
    )
    from level where level.priority is not null
)
select json_agg(json_build_array(gate, priority, (
    select t.run_at from angelica.tasks t
    where t.held is not null and t.held = level.gate and t.priority = level.priority order by t.run_at limit 1
)))
from level where priority is not null

-- verb: held_rows
select json_agg(json_build_array(d.id, d.executor, d.queue, d.priority, d.run_at)) from (
    select id, executor, queue, priority, run_at from angelica.tasks
    where held is not null and held = $1 and priority = $2::int order by run_at, id limit $3::bigint
    for update skip locked
) d

-- verb: park
update angelica.tasks t set
    held = e.value ->> 1, indexed = case when t.state = 'queued' then null else t.indexed end, revision = t.revision + 1
from ${items} e where t.id = e.value ->> 0

-- How many are ready in each lane of $1, each counted up to $3.
-- verb: ready_counts
select json_agg((
    select count(*) from (
        select 1 from angelica.tasks
        where indexed = 'ready' and queue = $2 and executor = e.value limit $3::bigint
    ) c
) order by e.key) from ${names} e

-- The first rows of a level, kept from others, passing over what others take right now.
-- verb: ready_rows
select json_agg(${task} order by t.run_at, t.id) from (
    select * from angelica.tasks
    where indexed = 'ready' and queue = $1 and executor = $2 and priority = $3::int
    order by run_at, id limit $4::bigint for update skip locked
) t

-- The same two for a worker that takes only tasks with certain labels.
-- verb: selected_counts
select json_agg((
    select count(*) from (
        select 1 from angelica.tasks t
        where t.indexed = 'ready' and t.queue = $2 and t.executor = e.value
            and not exists (
                select 1 from jsonb_each_text($4::text::jsonb) s (name, value)
                left join angelica.labels l on l.task_id = t.id and l.name = s.name
                where l.value is distinct from s.value
            )
        limit $3::bigint
    ) c
) order by e.key) from ${names} e

-- verb: selected_rows
select json_agg(${task} order by t.run_at, t.id) from (
    select * from angelica.tasks t
    where t.indexed = 'ready' and t.queue = $1 and t.executor = $2 and t.priority = $3::int
        and not exists (
            select 1 from jsonb_each_text($5::text::jsonb) s (name, value)
            left join angelica.labels l on l.task_id = t.id and l.name = s.name where l.value is distinct from s.value
        )
    order by t.run_at, t.id limit $4::bigint for update skip locked
) t

-- verb: start
with claimed as (
    insert into angelica.claims (worker, ids)
    select $2, array_agg(e.value) from ${names} e having count(*) > 0
)
update angelica.tasks set
    state = 'running', indexed = null, attempt = attempt + 1, worker = $2, started_at = null, revision = revision + 1
where id = any (array(select value from ${names} e))
