-- Schedules, their fires, and the unfinished runs of each. Every moment is whole microseconds.
create table schedules (
    id text primary key not null,
    phase text not null,
    phase_reason text not null,
    next_fire_at integer,
    last_fire_at integer,
    version integer not null,
    runs integer not null,
    streak integer not null,
    rearms integer not null, -- 1 where the end of a run sets next_fire_at
    runs_seen integer not null, -- how many unfinished runs a tick looks at: 0, 1001 or all
    keep_fires integer not null,
    delete_at integer,
    paused_at integer,
    function text not null,
    owner text not null,
    anchor integer not null,
    created_at integer not null,
    updated_at integer not null,
    seen_at integer,
    tz_version text not null,
    trigger_spec text not null, -- JSON, like the two below: see schedule_rows.py
    run text not null,
    rules text not null,
    declared text,
    override text
) strict;

-- What fires next; paused, completed and disarmed ones are not in it.
create index firing on schedules (next_fire_at, id) where phase = 'active' and next_fire_at is not null;
create index resting on schedules (phase, id) where phase <> 'active';
create index scheduled_functions on schedules (function, id);
create index declared_by on schedules (declared ->> '$."$source"', id) where declared is not null;
-- By id, since pages go by id; the edition beside it, so that only rows that need it are fetched.
create index timed_by on schedules (id, tz_version) where tz_version <> '';
create index ending on schedules (delete_at, id) where delete_at is not null;

-- What operators deleted, so that code does not declare it again.
create table tombstones (
    schedule_id text primary key not null,
    deleted_at integer not null
) strict, without rowid;

-- One row for each run, one for each span of fires that did not run. `slot` is empty for the one run of a fire, the
-- reason for a span, the task's id for a run of its own.
create table fires (
    schedule_id text not null,
    fire_time integer not null,
    slot text not null,
    kind text not null,
    task_id text,
    reason text,
    last integer,
    count integer not null,
    recorded_at integer not null,
    keep_until integer not null,
    primary key (schedule_id, fire_time, slot)
) strict, without rowid;
create index old_fires on fires (keep_until);

-- The runs that have not ended, in the order in which they came; a task that is not one costs nothing here.
create table runs (
    place integer primary key,
    schedule_id text not null,
    task_id text not null unique,
    waits_for text -- the run that must end before: set exactly while the task is waiting
) strict;
create index runs_of on runs (schedule_id, place);
create index waiters on runs (waits_for) where waits_for is not null;
