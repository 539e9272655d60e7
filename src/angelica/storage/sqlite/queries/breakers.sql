-- Circuit breakers: the state of each, and how many tasks it holds.

-- verb: breakers_of
select json_group_array(json_array(name, state)) from breakers where name in (select value from jsonb_each(?1))

-- verb: put_breakers
insert into breakers (name, state) select value ->> 0, value ->> 1 from jsonb_each(?1) where true
on conflict (name) do update set state = excluded.state

-- verb: breakers
select json_group_array(json_array(name, state, (
    select count(*) from (
        select 1 from tasks indexed by gated where held is not null and held = 'breaker:' || b.name limit 10000
    )
)) order by name) from breakers b
