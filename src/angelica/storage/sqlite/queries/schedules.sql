-- Schedules, their fires and their unfinished runs.

-- One schedule as JSON, in the order of the fields of `Schedule` (see schedule_rows.py).
-- fragment: schedule
json_array(
    s.id, s.trigger_spec, s.run, s.rules, s.phase, s.phase_reason, s.version, s.next_fire_at, s.last_fire_at, s.anchor,
    s.created_at, s.updated_at, s.paused_at, s.runs, s.streak, s.owner, s.declared, s.override, s.seen_at, s.tz_version
)

-- fragment: fire
json_array(schedule_id, fire_time, kind, task_id, reason, last, count, recorded_at)

-- verb: schedules_by_ids
select json_group_array(json_array(e.key, ${schedule}))
from jsonb_each(?1) e cross join schedules s on s.id = e.value

-- verb: list_schedules
select json_group_array(${schedule}) from (select * from schedules /* where */) s

-- verb: put_schedules
insert into schedules (
    id, phase, phase_reason, next_fire_at, last_fire_at, version, runs, streak, rearms, runs_seen, keep_fires, delete_at,
    paused_at, function, owner, anchor, created_at, updated_at, seen_at, tz_version, trigger_spec, run, rules, declared,
    override
)
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15,
    value ->> 16, value ->> 17, value ->> 18, value ->> 19, value ->> 20, value ->> 21, value ->> 22, value ->> 23,
    value ->> 24
from jsonb_each(?1) where true
on conflict (id) do update set
    phase = excluded.phase, phase_reason = excluded.phase_reason, next_fire_at = excluded.next_fire_at,
    last_fire_at = excluded.last_fire_at, version = excluded.version, runs = excluded.runs, streak = excluded.streak,
    rearms = excluded.rearms, runs_seen = excluded.runs_seen, keep_fires = excluded.keep_fires, delete_at = excluded.delete_at,
    paused_at = excluded.paused_at, function = excluded.function, owner = excluded.owner, anchor = excluded.anchor,
    created_at = excluded.created_at, updated_at = excluded.updated_at, seen_at = excluded.seen_at,
    tz_version = excluded.tz_version, trigger_spec = excluded.trigger_spec, run = excluded.run, rules = excluded.rules,
    declared = excluded.declared, override = excluded.override

-- verb: move_schedules
update schedules set
    phase = e.value ->> 1, phase_reason = e.value ->> 2, next_fire_at = e.value ->> 3, last_fire_at = e.value ->> 4,
    runs = e.value ->> 5, streak = e.value ->> 6, paused_at = e.value ->> 7, delete_at = e.value ->> 8
from jsonb_each(?1) e where schedules.id = e.value ->> 0

-- verb: tombstones
select json_group_array(t.schedule_id) from jsonb_each(?1) e cross join tombstones t on t.schedule_id = e.value

-- verb: put_tombstones
insert into tombstones (schedule_id, deleted_at) select value, ?2 from jsonb_each(?1) where true
on conflict do update set deleted_at = excluded.deleted_at

-- verb: delete_tombstones
delete from tombstones where schedule_id in (select value from jsonb_each(?1))

-- verb: delete_schedules
delete from schedules where id in (select value from jsonb_each(?1))

-- verb: delete_fires
delete from fires where schedule_id in (select value from jsonb_each(?1))

-- The runs of each come newest first. A bound on rows cannot be a column, hence the three cases.
-- verb: due_schedules
select json_group_array(json_array(${schedule}, json(case s.runs_seen
    when 0 then '[]'
    when 1001 then (
        select json_group_array(json_array(r.task_id, r.waits_for is not null)) from (
            select task_id, waits_for from runs indexed by runs_of where schedule_id = s.id order by place desc limit 1001
        ) r
    )
    else (
        select json_group_array(json_array(r.task_id, r.waits_for is not null)) from (
            select task_id, waits_for from runs indexed by runs_of where schedule_id = s.id order by place desc
        ) r
    )
end))) from (
    select * from schedules indexed by firing
    where phase = 'active' and next_fire_at <= ?1 order by next_fire_at, id limit ?2
) s

-- verb: next_fire
select next_fire_at from schedules indexed by firing
where phase = 'active' and next_fire_at is not null order by next_fire_at limit 1

-- verb: ending_schedules
select json_group_array(id) from (
    select s.id from schedules s indexed by ending
    where s.delete_at is not null and s.delete_at <= ?1
        and not exists (select 1 from runs indexed by runs_of where runs.schedule_id = s.id)
    order by s.delete_at limit ?2
)

-- Fires (schedule, fire time, slot) that have a record, with its task.
-- verb: standing_fires
select json_group_array(json_array(e.key, f.task_id))
from jsonb_each(?1) e cross join fires f
    on f.schedule_id = e.value ->> 0 and f.fire_time = e.value ->> 1 and f.slot = e.value ->> 2

-- verb: insert_fires
insert into fires (
    schedule_id, fire_time, slot, kind, task_id, reason, last, count, recorded_at, keep_until
)
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8, value ->> 9
from jsonb_each(?1) where true
on conflict do nothing

-- How long each of these schedules keeps its records.
-- verb: keeps
select json_group_array(json_array(s.id, s.keep_fires)) from jsonb_each(?1) e cross join schedules s on s.id = e.value

-- verb: put_fires
insert or replace into fires (
    schedule_id, fire_time, slot, kind, task_id, reason, last, count, recorded_at, keep_until
)
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8, value ->> 9
from jsonb_each(?1) where true

-- The latest record of a scheduled fire of each schedule.
-- verb: latest_fires
select json_group_array(json((
    select ${fire} from fires where schedule_id = e.value and kind = 'scheduled'
    order by fire_time desc, slot desc limit 1
))) from jsonb_each(?1) e

-- verb: fires_of
select json_group_array(${fire}) from (
    select * from fires where schedule_id = ?1 and fire_time < ?2 order by fire_time desc, slot desc limit ?3
)

-- verb: fire_times
select json_group_array(fire_time) from (
    select distinct fire_time from fires
    where schedule_id = ?1 and fire_time >= ?2 and fire_time < ?3 and task_id is not null and kind <> 'manual'
    order by fire_time
)

-- verb: prune_fires
delete from fires where (schedule_id, fire_time, slot) in (
    select schedule_id, fire_time, slot from fires indexed by old_fires
    where keep_until <= ?1 order by keep_until limit ?2
)

-- Unfinished runs whose task has ended or is gone (see stale_runs.py).
-- verb: stale_runs
select json_group_array(json_array(r.schedule_id, r.task_id, coalesce(t.finished_at, ?1), t.state))
from runs r left join tasks t on t.id = r.task_id
where t.id is null or +t.state in ('succeeded', 'failed', 'cancelled')

-- verb: insert_runs
insert into runs (schedule_id, task_id, waits_for)
select value ->> 0, value ->> 1, value ->> 2 from jsonb_each(?1) where true order by key
on conflict do nothing

-- verb: end_runs
delete from runs where task_id in (select value from jsonb_each(?1))

-- verb: unfinished_of
select json_group_array(json_array(name, task_id, waits_for)) from (
    select e.value as name, r.task_id, r.waits_for
    from jsonb_each(?1) e cross join runs r indexed by runs_of on r.schedule_id = e.value
    order by e.key, r.place
)

-- verb: waiting_schedules
select json_group_array(distinct r.schedule_id)
from jsonb_each(?1) e cross join runs r indexed by waiters on r.waits_for is not null and r.waits_for = e.value

-- verb: set_waits
update runs set waits_for = e.value ->> 1 from jsonb_each(?1) e where runs.task_id = e.value ->> 0

-- The waiting tasks among these, with where they go on.
-- verb: waiting_rows
select json_group_array(json_array(tasks.id, queue, iif(run_at <= ?2, 'queued', 'scheduled')))
from jsonb_each(?1) e cross join tasks on tasks.id = e.value and +state = 'waiting'

-- verb: set_off
update tasks set state = e.value ->> 2, revision = revision + 1 from jsonb_each(?1) e where tasks.id = e.value ->> 0

-- The schedules that the end of a run changes (id, whether one has failed), with how many runs of each are left; it
-- matters only whether there are any, so a crowd is not counted to its end.
-- verb: schedules_to_settle
select json_group_array(json_array(
    ${schedule}, (select count(*) from (select 1 from runs indexed by runs_of where schedule_id = s.id limit 100))
))
from jsonb_each(?1) e cross join schedules s on s.id = e.value ->> 0
where e.value ->> 1 or s.streak <> 0 or s.rearms = 1
