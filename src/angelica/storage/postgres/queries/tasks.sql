-- Submitting, promoting, cancelling and pruning tasks.
-- Batches come in as one JSON text; what is on the hot path comes as arrays (hot.sql).

-- The items of $1, numbered from 0.
-- fragment: items
(select x.value, x.n - 1 as key from jsonb_array_elements($1::text::jsonb) with ordinality x (value, n))

-- The items of $1 where these are texts.
-- fragment: names
(select x.value, x.n - 1 as key from jsonb_array_elements_text($1::text::jsonb) with ordinality x (value, n))

-- One row of a task as JSON; the rare parts only where there can be any (see rows.py).
-- fragment: task
json_build_array(
    t.id, t.function, t.queue, t.executor, t.priority, t.version, t.state, t.run_at, t.created_at, t.payload, t.policy,
    t.trace_id, t.attempt, t.revision,
    case when t.revision > 0 or t.extras is not null or t.unique_spec is not null or t.expires_at is not null
        or t.deadline is not null
    then json_build_array(
        t.asked_at, t.unique_spec, t.expires_at, t.deadline, t.extras, t.failures, t.crashes, t.held, t.worker,
        t.cancel_requested, t.cancel_reason, t.started_at, t.finished_at, t.result, t.error, t.checkpoint, t.progress,
        t.usage
    ) end
)

-- verb: tasks_by_ids
select json_agg(json_build_array(e.key, ${task})) from ${names} e join angelica.tasks t on t.id = e.value

-- The same rows, kept from others until the end of the transaction; locked in one order by all.
-- verb: standing_tasks
select json_agg(json_build_array(e.key, ${task}))
from ${names} e join (
    select * from angelica.tasks where id = any (array(select value from ${names} w)) order by id for update
) t on t.id = e.value

-- verb: insert_labels
insert into angelica.labels (task_id, name, value)
select e.value ->> 0, e.value ->> 1, e.value ->> 2 from ${items} e
on conflict do nothing

-- verb: unique_holders
select json_agg(json_build_array(t.function, t.unique_key, t.id))
from ${items} e join angelica.tasks t
    on t.function = e.value ->> 0 and t.unique_key = e.value ->> 1 and t.unique_key is not null

-- verb: request
select json_build_array(route, digest, answer, expires_at) from angelica.requests where principal = $1 and key = $2

-- verb: put_request
insert into angelica.requests (principal, key, route, digest, answer, expires_at) values ($1, $2, $3, $4, $5, $6)
on conflict (principal, key) do update set
    route = excluded.route, digest = excluded.digest, answer = excluded.answer, expires_at = excluded.expires_at

-- verb: add_counts
insert into angelica.counters (slot, queue, state, n)
select $2::int, e.value ->> 0, e.value ->> 1, (e.value ->> 2)::bigint from ${items} e order by 2, 3
on conflict (slot, queue, state) do update set n = counters.n + excluded.n

-- What another node promotes at this moment is left to it.
-- verb: due_rows
select json_agg(json_build_array(d.id, d.queue)) from (
    select id, queue from angelica.tasks where indexed = 'scheduled' and run_at <= $1::bigint
    order by run_at, id limit $2::bigint for update skip locked
) d

-- verb: promote
update angelica.tasks t set
    state = 'queued', indexed = case when t.held is null then 'ready' end, revision = t.revision + 1
from ${items} e where t.id = e.value ->> 0

-- verb: next_due
select run_at from angelica.tasks where indexed = 'scheduled' order by run_at limit 1

-- verb: cancel_waiting
with ended as (select e.value ->> 0 as id, (e.value ->> 3)::bigint as retain_until from ${items} e),
kept as (${keep_ended})
update angelica.tasks t set
    state = 'cancelled', indexed = 'cancelled', held = null, error = e.value ->> 1,
    finished_at = (e.value ->> 2)::bigint,
    retain_until = (e.value ->> 3)::bigint,
    unique_key = case when t.unique_spec::json ->> 1 = 'live' then null else t.unique_key end, revision = t.revision + 1
from ${items} e where t.id = e.value ->> 0

-- verb: request_cancel
update angelica.tasks set cancel_requested = true, cancel_reason = $2, revision = revision + 1
where id = any (array(select value from ${names} e))

-- verb: ended_rows
select json_agg(json_build_array(d.id, d.queue, d.state)) from (
    select id, queue, state from angelica.tasks
    where id = any (array(select value from ${names} e)) and state in ('succeeded', 'failed', 'cancelled')
    order by id for update
) d

-- The task that a row `n` of a batch names, if it is there. The `offset` forbids the planner to begin with the tasks: a
-- plan that was made while there were none would go through all of them for each batch, as long as it is cached.
-- fragment: task_named
select * from angelica.tasks t where t.id = n.id offset 0

-- Where the deleted tasks `gone` stand in the list.
-- fragment: places_listed
select l.place from gone g cross join lateral (
    select ctid as place from angelica.listing l where l.created_at = g.created_at and l.id = g.id offset 0
) l

-- The oldest batches with $2 tasks or more, as far as others do not look at them; what is to be kept longer, or is
-- somebody else's right now, stays as a smaller batch.
-- verb: outdated_rows
with batch as (
    select place, ids from (
        select place, ids, sum(n) over (order by until, place) - n as before
        from (
            select ctid as place, until, n, ids from angelica.retention where until <= $1::bigint
            order by until limit $2::bigint for update skip locked
        ) f
    ) b
    where before < $2::bigint
),
named as (select batch.place, i.id from batch cross join lateral unnest(batch.ids) i (id)),
outdated as (
    select t.id, t.queue, t.state from angelica.tasks t
    where t.id = any (array(select id from named)) and t.state in ('succeeded', 'failed', 'cancelled')
        and t.retain_until <= $1::bigint
    order by t.retain_until, t.id limit $2::bigint for update skip locked
),
left_over as (
    select n.place, min(t.retain_until) as until, count(*) as n, array_agg(t.id) as ids
    from named n cross join lateral (${task_named}) t
    where t.state in ('succeeded', 'failed', 'cancelled') and t.retain_until is not null
        and case when t.id in (select id from outdated) then false else true end
    group by n.place
),
kept as (
    update angelica.retention r set until = l.until, n = l.n, ids = l.ids from left_over l where r.ctid = l.place
),
gone as (
    delete from angelica.retention r using batch b
    where r.ctid = b.place and case when b.place in (select place from left_over) then false else true end
)
select json_agg(json_build_array(id, queue, state)) from outdated

-- verb: delete_rows
with gone as (
    delete from angelica.tasks where id = any (array(select e.value ->> 0 from ${items} e)) returning id, created_at
)
delete from angelica.listing where ctid = any (array(${places_listed}))

-- verb: delete_labels
delete from angelica.labels where task_id = any (array(select e.value ->> 0 from ${items} e))

-- verb: delete_attempts
delete from angelica.attempts where task_id = any (array(select e.value ->> 0 from ${items} e))

-- verb: delete_logs
delete from angelica.logs where task_id = any (array(select e.value ->> 0 from ${items} e))

-- verb: delete_requests
delete from angelica.requests where expires_at <= $1::bigint

-- And the claims of which nothing runs any more: as a rule those of workers that are gone.
-- verb: delete_workers
with over as (
    delete from angelica.claims c where not exists (
        select 1 from unnest(c.ids) n (id) cross join lateral (${task_named}) t
        where t.state = 'running' and t.worker = c.worker
    )
)
delete from angelica.workers w where seen_at <= $1::bigint
    and not exists (select 1 from angelica.claims c where c.worker = w.id)

-- verb: put_functions
insert into angelica.functions (name, version, executor, schema, defaults, doc, seen_at)
select
    e.value ->> 0, (e.value ->> 1)::int, e.value ->> 2, e.value ->> 3, e.value ->> 4, e.value ->> 5,
    (e.value ->> 6)::bigint
from ${items} e order by 1
on conflict (name) do update set
    version = excluded.version, executor = excluded.executor, schema = excluded.schema, defaults = excluded.defaults,
    doc = excluded.doc, seen_at = excluded.seen_at

-- verb: put_meta
insert into angelica.meta (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value

-- verb: meta
select value from angelica.meta where key = $1
