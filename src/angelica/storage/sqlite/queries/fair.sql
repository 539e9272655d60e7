-- Fair queues: rows that have no tenant's lane yet, and who was served when.
-- A new revision, because a row of the first one is read as one in which nothing was changed.

-- verb: unsorted
select json_group_array(json_array(id, extras, priority, run_at)) from (
    select id, extras, priority, run_at from tasks indexed by ready
    where state = 'queued' and held is null and queue = ?1 and executor = ?2
    order by priority desc, run_at, id limit ?3
)

-- verb: sort_out
update tasks set executor = e.value ->> 1, revision = revision + 1 from jsonb_each(?1) e where tasks.id = e.value ->> 0

-- verb: served_of
select json_group_array(json_array(gate, served)) from tenants where gate in (select value from jsonb_each(?1))

-- verb: any_tenants
select exists (select 1 from tenants)

-- verb: tenants_after
select json_group_array(json_array(gate, served)) from (
    select gate, served from tenants where gate > ?1 order by gate limit ?2
)

-- verb: forget_tenants
delete from tenants where gate in (select value from jsonb_each(?1))

-- verb: put_served
insert into tenants (gate, served) select value ->> 0, value ->> 1 from jsonb_each(?1) where true
on conflict (gate) do update set served = excluded.served
