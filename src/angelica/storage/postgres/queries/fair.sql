-- Fair queues: rows that have no tenant's lane yet, and who was served when.
-- A new revision, because a row of the first one is read as one in which nothing was changed.

-- verb: unsorted
select json_agg(json_build_array(t.id, t.extras, t.priority, t.run_at) order by t.priority desc, t.run_at, t.id) from (
    select id, extras, priority, run_at from angelica.tasks
    where indexed = 'ready' and queue = $1 and executor = $2
    order by priority desc, run_at, id limit $3::bigint for update skip locked
) t

-- verb: sort_out
update angelica.tasks t set executor = e.value ->> 1, revision = t.revision + 1 from ${items} e where t.id = e.value ->> 0

-- verb: served_of
select json_agg(json_build_array(gate, served)) from angelica.tenants where gate in (select value from ${names} e)

-- verb: any_tenants
select exists (select 1 from angelica.tenants)

-- verb: tenants_after
select json_agg(json_build_array(gate, served) order by gate) from (
    select gate, served from angelica.tenants where gate > $1 order by gate limit $2::bigint
) t

-- verb: forget_tenants
delete from angelica.tenants where gate in (select value from ${names} e)

-- verb: put_served
insert into angelica.tenants (gate, served) select e.value ->> 0, (e.value ->> 1)::bigint from ${items} e
on conflict (gate) do update set served = excluded.served
