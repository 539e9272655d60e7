-- Circuit breakers: the state of each, and how many tasks it holds. Who changes one holds the lock of the limits.

-- verb: breakers_of
select json_agg(json_build_array(name, state)) from angelica.breakers where name in (select value from ${names} e)

-- verb: put_breakers
insert into angelica.breakers (name, state) select e.value ->> 0, e.value ->> 1 from ${items} e
on conflict (name) do update set state = excluded.state

-- verb: breakers
select json_agg(json_build_array(b.name, b.state, (
    select count(*) from (
        select 1 from angelica.tasks t where t.held is not null and t.held = 'breaker:' || b.name limit 10000
    ) c
)) order by b.name) from angelica.breakers b
