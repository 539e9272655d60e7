-- The fence around a store that is being moved: a trigger on each table while it may be needed, so that all other time
-- writes cost nothing more; whoever writes meets it, also a transaction of a user that submits in it. Writers hold a shared lock to their end, the mover takes it alone before it changes the
-- fence: afterwards no write is under way that has not seen it. A lock of rows would let writers starve the mover.

-- verb: fence_lock
select pg_advisory_xact_lock(hashtextextended('angelica fence', 0))

-- verb: fence_row
select (select value from angelica.meta where key = $1), (extract(epoch from clock_timestamp()) * 1000000)::bigint

-- verb: fence_function
create or replace function angelica.fence() returns trigger language plpgsql as $fence$
declare
    stands text;
    fence json;
begin
    if current_setting('angelica.mover', true) = 'yes' then
        return null;
    end if;
    perform pg_advisory_xact_lock_shared(hashtextextended('angelica fence', 0));
    select value into stands from angelica.meta where key = 'fence';
    fence := stands::json;
    if fence ->> 'state' in ('moved', 'receiving') or (
        fence ->> 'state' = 'moving'
        and (fence ->> 'until')::bigint > (extract(epoch from clock_timestamp()) * 1000000)::bigint
    ) then
        raise exception using errcode = 'AN001', detail = stands, message = case fence ->> 'state'
            when 'moved' then 'the data has moved to ' || (fence ->> 'to')
            else 'the data is being moved; nothing was written'
        end;
    end if;
    return null;
end
$fence$

-- verb: drop_fence_function
drop function if exists angelica.fence()

-- verb: only_mover
select pg_try_advisory_lock(hashtextextended('angelica mover', 0))

-- verb: pass_fence
set angelica.mover = 'yes'

-- verb: drop_meta
delete from angelica.meta where key = $1

-- verb: move_counts
select queue, state, sum(n)::bigint from angelica.counters group by queue, state having sum(n) <> 0

-- verb: add_move_counts
insert into angelica.counters (slot, queue, state, n)
select 0, c.queue, c.state, c.n from unnest($1::text[], $2::text[], $3::bigint[]) c (queue, state, n)
on conflict (slot, queue, state) do update set n = counters.n + excluded.n

-- verb: go_on_from
select setval(pg_get_serial_sequence('angelica.runs', 'place'), $1)

-- Tasks, and where they are listed.
-- verb: drop_listed
with gone as (delete from angelica.tasks where id = any ($1::text[]) returning id, created_at)
delete from angelica.listing where ctid = any (array(${places_listed}))

-- What lists tasks that are not there.
-- verb: drop_unlisted
delete from angelica.listing l where not exists (select 1 from angelica.tasks t where t.id = l.id)

-- What stands beside the tasks $1 that were copied: the list of all, and batches of those that run or have ended.
-- verb: put_batches
with copied as materialized (
    select id, created_at, state, worker, retain_until from angelica.tasks where id = any ($1::text[])
),
listed as (insert into angelica.listing (created_at, id) select created_at, id from copied),
claimed as (
    insert into angelica.claims (worker, ids)
    select worker, array_agg(id) from copied where state = 'running' and worker is not null group by worker
),
ended as (select id, retain_until from copied where state in ('succeeded', 'failed', 'cancelled'))
${keep_ended}

-- The ended tasks (id, end) that are to be deleted in the minute $1, or never if that is null.
-- verb: ended_in
select id, coalesce(finished_at, 0) from angelica.tasks
where id = any (array(
    select unnest(ids) from angelica.retention where until >= $1::bigint * 60000000 and until < ($1 + 1) * 60000000
    union
    select unnest(ids) from angelica.retention where $1::bigint is null and until is null
)) and state in ('succeeded', 'failed', 'cancelled') and retain_until / 60000000 is not distinct from $1
