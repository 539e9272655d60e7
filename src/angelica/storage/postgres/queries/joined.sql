-- What runs inside of a caller's own transaction, on whatever driver: one text in, one text out, nothing that fails.

-- Where a connection leads, and what its role may not do there.
-- verb: joined_look
select json_build_array(
    current_database(), current_user, bool_or(c.oid is not null),
    json_agg(w.may || ' on ' || w.name) filter (where not coalesce(has_table_privilege(c.oid, w.may), true)),
    bool_and(coalesce(has_schema_privilege(n.oid, 'usage'), true))
)::text
from (values
    ('meta', 'select'), ('tasks', 'select'), ('tasks', 'insert'), ('tasks', 'delete'), ('labels', 'insert'),
    ('labels', 'select'), ('labels', 'delete'), ('listing', 'insert'), ('listing', 'select'), ('listing', 'delete'),
    ('counters', 'select'), ('counters', 'insert'), ('counters', 'update')
) w (name, may)
left join pg_catalog.pg_namespace n on n.nspname = 'angelica'
left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name

-- What a caller's transaction has moved, in the slot that no other transaction touches: nobody waits for its end.
-- fragment: add_own_moved
insert into angelica.counters (slot, queue, state, n)
select -(pg_current_xact_id()::text::bigint), m.queue, m.state, sum(m.n) from moved m group by m.queue, m.state
on conflict (slot, queue, state) do update set n = counters.n + excluded.n

-- The tasks of $1 with the labels of $2; $3 are the notifications, each sent once a transaction however often it comes.
-- verb: joined_insert
with new as (
    insert into angelica.tasks (
        id, function, version, queue, executor, priority, state, indexed, run_at, created_at, trace_id, payload, policy,
        unique_key, unique_spec, expires_at, deadline, parent_id, retry_of, extras
    )
    select
        e.value ->> 0, e.value ->> 1, (e.value ->> 2)::int, e.value ->> 3, e.value ->> 4, (e.value ->> 5)::int,
        e.value ->> 6, case e.value ->> 6 when 'queued' then 'ready' when 'scheduled' then 'scheduled' end,
        (e.value ->> 7)::bigint, (e.value ->> 8)::bigint, e.value ->> 9, e.value ->> 10,
        e.value ->> 11, e.value ->> 12, e.value ->> 13, (e.value ->> 14)::bigint, (e.value ->> 15)::bigint,
        e.value ->> 16, e.value ->> 17, e.value ->> 18
    from ${items} e
    on conflict do nothing
    returning id, created_at, queue, state
),
listed as (insert into angelica.listing (id, created_at) select id, created_at from new),
labelled as (
    insert into angelica.labels (task_id, name, value)
    select l.value ->> 0, l.value ->> 1, l.value ->> 2 from jsonb_array_elements($2::text::jsonb) l
    where l.value ->> 0 in (select id from new)
    on conflict do nothing
),
moved as (select queue, state, 1 as n from new),
counted as (${add_own_moved})
select json_build_array(
    (select json_agg(id) from new),
    (select count(pg_notify('angelica', t.value)::text) from jsonb_array_elements_text($3::text::jsonb) t
        where exists (select 1 from new))
)::text

-- The tasks of $1 that this transaction has stored, as if it never had.
-- verb: joined_take_back
with gone as (
    delete from angelica.tasks where id = any (array(select value from ${names} e))
    returning id, created_at, queue, state
),
unlisted as (
    delete from angelica.listing where ctid = any (array(${places_listed}))
),
unlabelled as (delete from angelica.labels where task_id = any (array(select value from ${names} e))),
moved as (select queue, state, -1 as n from gone),
counted as (${add_own_moved})
select count(*)::text from gone

-- Takes up what callers' transactions have left in slots of their own.
-- verb: fold_counts
with folded as (
    delete from angelica.counters
    where ctid = any (array(select ctid from angelica.counters where slot < 0 for update skip locked))
    returning queue, state, n
)
select json_agg(json_build_array(f.queue, f.state, f.n)) from (
    select queue, state, sum(n)::bigint as n from folded group by queue, state
) f
