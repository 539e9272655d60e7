-- Schedules, their fires and their unfinished runs. Who writes one has locked its name first (`lock_schedules`).

-- One schedule as JSON, in the order of the fields of `Schedule` (see schedule_rows.py).
-- fragment: schedule
json_build_array(
    s.id, s.trigger_spec, s.run, s.rules, s.phase, s.phase_reason, s.version, s.next_fire_at, s.last_fire_at, s.anchor,
    s.created_at, s.updated_at, s.paused_at, s.runs, s.streak, s.owner, s.declared, s.override, s.seen_at, s.tz_version
)

-- fragment: fire
json_build_array(
    f.schedule_id, f.fire_time, f.kind, f.task_id, f.reason, f.last, f.count, f.recorded_at
)

-- Names are locked whether a row of theirs stands or not, in one order by all.
-- verb: lock_schedules
select count(pg_advisory_xact_lock(k.key)) from (
    select hashtextextended('angelica schedule ' || e.value, 0) as key from ${names} e order by 1
) k

-- verb: lock_requests
select count(pg_advisory_xact_lock(k.key)) from (
    select hashtextextended('angelica request ' || e.value, 0) as key from ${names} e order by 1
) k

-- verb: schedules_by_ids
select json_agg(json_build_array(e.key, ${schedule})) from ${names} e join angelica.schedules s on s.id = e.value

-- verb: list_schedules
select json_agg(${schedule}) from (select * from angelica.schedules schedules /* where */) s

-- verb: put_schedules
insert into angelica.schedules (
    id, phase, phase_reason, next_fire_at, last_fire_at, version, runs, streak, rearms, runs_seen, keep_fires, delete_at,
    paused_at, function, owner, anchor, created_at, updated_at, seen_at, tz_version, trigger_spec, run, rules, declared,
    override
)
select
    e.value ->> 0, e.value ->> 1, e.value ->> 2, (e.value ->> 3)::bigint, (e.value ->> 4)::bigint,
    (e.value ->> 5)::int, (e.value ->> 6)::bigint, (e.value ->> 7)::int, e.value ->> 8 = '1', (e.value ->> 9)::bigint,
    (e.value ->> 10)::bigint, (e.value ->> 11)::bigint, (e.value ->> 12)::bigint, e.value ->> 13, e.value ->> 14,
    (e.value ->> 15)::bigint, (e.value ->> 16)::bigint, (e.value ->> 17)::bigint, (e.value ->> 18)::bigint,
    e.value ->> 19, e.value ->> 20, e.value ->> 21, e.value ->> 22, e.value ->> 23, e.value ->> 24
from ${items} e
on conflict (id) do update set
    phase = excluded.phase, phase_reason = excluded.phase_reason, next_fire_at = excluded.next_fire_at,
    last_fire_at = excluded.last_fire_at, version = excluded.version, runs = excluded.runs, streak = excluded.streak,
    rearms = excluded.rearms, runs_seen = excluded.runs_seen, keep_fires = excluded.keep_fires,
    delete_at = excluded.delete_at, paused_at = excluded.paused_at, function = excluded.function,
    owner = excluded.owner, anchor = excluded.anchor, created_at = excluded.created_at,
    updated_at = excluded.updated_at, seen_at = excluded.seen_at, tz_version = excluded.tz_version,
    trigger_spec = excluded.trigger_spec, run = excluded.run, rules = excluded.rules, declared = excluded.declared,
    override = excluded.override

-- verb: move_schedules
update angelica.schedules s set
    phase = e.value ->> 1, phase_reason = e.value ->> 2, next_fire_at = (e.value ->> 3)::bigint,
    last_fire_at = (e.value ->> 4)::bigint, runs = (e.value ->> 5)::bigint, streak = (e.value ->> 6)::int,
    paused_at = (e.value ->> 7)::bigint, delete_at = (e.value ->> 8)::bigint
from ${items} e where s.id = e.value ->> 0

-- verb: tombstones
select json_agg(t.schedule_id) from ${names} e join angelica.tombstones t on t.schedule_id = e.value

-- verb: put_tombstones
insert into angelica.tombstones (schedule_id, deleted_at) select e.value, $2::bigint from ${names} e
on conflict (schedule_id) do update set deleted_at = excluded.deleted_at

-- verb: delete_tombstones
delete from angelica.tombstones where schedule_id in (select e.value from ${names} e)

-- verb: delete_schedules
delete from angelica.schedules where id = any (array(select e.value from ${names} e))

-- verb: delete_fires
delete from angelica.fires where schedule_id in (select e.value from ${names} e)

-- The runs of each come newest first, as many as its overlap policy looks at.
-- verb: due_schedules
select json_agg(json_build_array(${schedule}, coalesce((
    select json_agg(json_build_array(r.task_id, r.waits_for is not null) order by r.place desc) from (
        select task_id, waits_for, place from angelica.runs
        where schedule_id = s.id order by place desc limit s.runs_seen
    ) r
), '[]'::json)) order by s.next_fire_at, s.id) from (
    select * from angelica.schedules
    where phase = 'active' and next_fire_at is not null and next_fire_at <= $1::bigint
    order by next_fire_at, id limit $2::bigint
) s

-- verb: next_fire
select next_fire_at from angelica.schedules
where phase = 'active' and next_fire_at is not null order by next_fire_at limit 1

-- verb: ending_schedules
select json_agg(d.id) from (
    select s.id from angelica.schedules s
    where s.delete_at is not null and s.delete_at <= $1::bigint
        and not exists (select 1 from angelica.runs r where r.schedule_id = s.id)
    order by s.delete_at limit $2::bigint
) d

-- Fires (schedule, fire time, slot) that have a record, with its task.
-- verb: standing_fires
select json_agg(json_build_array(e.key, f.task_id))
from ${items} e join angelica.fires f
    on f.schedule_id = e.value ->> 0 and f.fire_time = (e.value ->> 1)::bigint and f.slot = e.value ->> 2

-- fragment: fire_values
insert into angelica.fires (
    schedule_id, fire_time, slot, kind, task_id, reason, last, count, recorded_at, keep_until
)
select
    e.value ->> 0, (e.value ->> 1)::bigint, e.value ->> 2, e.value ->> 3, e.value ->> 4, e.value ->> 5,
    (e.value ->> 6)::bigint, (e.value ->> 7)::int, (e.value ->> 8)::bigint, (e.value ->> 9)::bigint
from ${items} e

-- verb: insert_fires
${fire_values}
on conflict do nothing

-- How long each of these schedules keeps its records.
-- verb: keeps
select json_agg(json_build_array(s.id, s.keep_fires)) from ${names} e join angelica.schedules s on s.id = e.value

-- verb: put_fires
${fire_values}
on conflict (schedule_id, fire_time, slot) do update set
    kind = excluded.kind, task_id = excluded.task_id, reason = excluded.reason, last = excluded.last,
    count = excluded.count, recorded_at = excluded.recorded_at, keep_until = excluded.keep_until

-- The latest record of a scheduled fire of each schedule.
-- verb: latest_fires
select json_agg((
    select ${fire} from angelica.fires f where f.schedule_id = e.value and f.kind = 'scheduled'
    order by f.fire_time desc, f.slot desc limit 1
)) from ${names} e

-- verb: fires_of
select json_agg(${fire}) from (
    select * from angelica.fires where schedule_id = $1 and fire_time < $2::bigint
    order by fire_time desc, slot desc limit $3::bigint
) f

-- verb: fire_times
select json_agg(f.fire_time) from (
    select distinct fire_time from angelica.fires
    where schedule_id = $1 and fire_time >= $2::bigint and fire_time < $3::bigint and task_id is not null
        and kind <> 'manual'
    order by fire_time
) f

-- verb: prune_fires
delete from angelica.fires where (schedule_id, fire_time, slot) in (
    select schedule_id, fire_time, slot from angelica.fires
    where keep_until <= $1::bigint order by keep_until limit $2::bigint for update skip locked
)

-- verb: insert_runs
insert into angelica.runs (schedule_id, task_id, waits_for)
select e.value ->> 0, e.value ->> 1, e.value ->> 2 from ${items} e order by e.key
on conflict do nothing

-- verb: end_runs
delete from angelica.runs where task_id = any (array(select e.value from ${names} e))

-- verb: unfinished_of
select json_agg(json_build_array(e.value, r.task_id, r.waits_for) order by e.key, r.place)
from ${names} e join angelica.runs r on r.schedule_id = e.value

-- verb: waiting_schedules
select json_agg(distinct r.schedule_id)
from ${names} e join angelica.runs r on r.waits_for is not null and r.waits_for = e.value

-- verb: set_waits
update angelica.runs r set waits_for = e.value ->> 1 from ${items} e where r.task_id = e.value ->> 0

-- The waiting tasks among these, with where they go on.
-- verb: waiting_rows
select json_agg(json_build_array(d.id, d.queue, case when d.run_at <= $2::bigint then 'queued' else 'scheduled' end))
from (
    select id, queue, run_at from angelica.tasks
    where id = any (array(select e.value from ${names} e)) and state = 'waiting' order by id for update
) d

-- verb: set_off
update angelica.tasks t set
    state = e.value ->> 2, indexed = case e.value ->> 2 when 'queued' then 'ready' else e.value ->> 2 end,
    revision = t.revision + 1
from ${items} e where t.id = e.value ->> 0

-- The schedules that the end of a run changes (id, whether one has failed), with how many runs of each are left; it
-- matters only whether there are any, so a crowd is not counted to its end.
-- verb: schedules_to_settle
select json_agg(json_build_array(
    ${schedule}, (select count(*) from (select 1 from angelica.runs where schedule_id = s.id limit 100) r)
))
from ${items} e join angelica.schedules s on s.id = e.value ->> 0
where e.value ->> 1 = '1' or s.streak <> 0 or s.rearms
