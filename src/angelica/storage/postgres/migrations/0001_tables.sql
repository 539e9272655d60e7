-- All tables, in the schema that the URL names (`angelica` here; the text is adapted before it runs).
-- Every moment is whole microseconds of the server's clock. Texts compare by bytes, as they do in the other storages.

-- A row is written three times: stored, taken, ended. Its end touches no column that any index mentions (not even in its
-- condition), so it stays in its page and in no index anew (a heap-only tuple): what would be an index of what runs or
-- of what is to be deleted is a row per batch, in `claims` and `retention`. Room is left in each page for the versions
-- that a life adds, and in the indexes for the one that a claim adds.
create table angelica.tasks (
    -- What has always a value and one width comes first, then what has always a value: the rest is found by walking.
    created_at bigint not null,
    run_at bigint not null,
    version integer not null,
    attempt integer not null default 0,
    failures integer not null default 0,
    crashes integer not null default 0,
    revision integer not null default 0,
    priority smallint not null,
    cancel_requested boolean not null default false,
    queue text collate "C" not null,
    executor text collate "C" not null,
    id text collate "C" primary key with (fillfactor = 40),
    function text collate "C" not null,
    state text collate "C" not null,
    -- In which index of a state the row is: 'ready' (queued and not held), 'scheduled', 'failed', 'cancelled', or none.
    -- No index mentions `state` itself, see above.
    indexed text collate "C",
    payload text not null,
    policy text not null, -- JSON, see rows.py
    trace_id text not null,
    worker text collate "C",
    held text collate "C",
    retain_until bigint,
    started_at bigint,
    finished_at bigint,
    measured_at bigint, -- finished_at of a task whose usage was measured
    result text,
    asked_at bigint, -- the run_at that was asked for, where run_at has moved since
    expires_at bigint,
    deadline bigint,
    unique_key text collate "C", -- while it is taken: null again at the end where its scope is live
    unique_spec text, -- JSON: [key, scope, on_conflict]
    parent_id text collate "C",
    retry_of text collate "C",
    schedule_id text collate "C",
    cancel_reason text,
    extras text, -- JSON
    error text, -- JSON
    checkpoint text,
    progress text,
    usage text -- JSON, see rows.py
) with (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05
);

-- What a claim may take, in the order of claim. Future, held and finished rows are not in it.
create index ready on angelica.tasks (queue, executor, priority desc, run_at, id) where indexed = 'ready';
create index due on angelica.tasks (run_at, id) where indexed = 'scheduled';
create index parked on angelica.tasks (held, function, id) where held is not null;
-- What a rule holds, in the order of claim.
create index gated on angelica.tasks (held, priority desc, run_at, id) where held is not null;
-- What waits for a worker with the right labels, by its lane (`executor`: the kind, and what else is needed).
create index incapable on angelica.tasks (executor, id) where held = 'no_capable_worker';
-- What is larger than every live worker, by its lane.
create index oversized on angelica.tasks (executor, id) where held = 'no_worker_fits';
-- Without the id at its end: what that would sort are rows of one moment.
create index failed on angelica.tasks (created_at) where indexed = 'failed';
create index cancelled on angelica.tasks (created_at) where indexed = 'cancelled';
-- What attempts took, by function: for those that measure it, which are few and long beside the others.
create index measured on angelica.tasks (function, measured_at, id) where measured_at is not null;
create unique index uniques on angelica.tasks (function, unique_key) where unique_key is not null;
create index children on angelica.tasks (parent_id, created_at, id) where parent_id is not null;
create index retries on angelica.tasks (retry_of, created_at, id) where retry_of is not null;

-- All tasks in the order in which they came: of a table of its own, since a claim would write to an index of `tasks`.
create table angelica.listing (
    created_at bigint not null,
    id text collate "C" not null,
    primary key (created_at, id)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- What runs: who took which tasks, a row for each batch. It may name some that run no more (they tell by their state and
-- worker); whoever took them deletes it after the last has ended.
create table angelica.claims (
    worker text collate "C" not null,
    place bigint generated always as identity,
    ids text[] not null,
    primary key (worker, place)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0);
alter table angelica.claims alter column ids set storage external; -- to compress them costs more than it saves

-- What has ended, and when the first of its batch is to be deleted (never: null): a row for each batch, whose ends of
-- keeping lie in the same minute. It may name tasks that are gone.
create table angelica.retention (
    until bigint,
    n integer not null,
    ids text[] not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0);
alter table angelica.retention alter column ids set storage external;
create index outdated on angelica.retention (until);

create table angelica.labels (
    task_id text collate "C" not null,
    name text collate "C" not null,
    value text collate "C" not null,
    primary key (task_id, name)
);
create index labelled on angelica.labels (name, value, task_id);

create table angelica.attempts (
    task_id text collate "C" not null,
    attempt integer not null,
    outcome text not null,
    worker text,
    started_at bigint,
    finished_at bigint not null,
    error text,
    usage text,
    primary key (task_id, attempt)
);

create table angelica.logs (
    task_id text collate "C" not null,
    attempt integer not null,
    seq integer not null,
    at bigint not null,
    stream text not null,
    level text not null,
    logger text not null,
    message text not null,
    primary key (task_id, attempt, seq)
);

create table angelica.requests (
    principal text collate "C" not null,
    key text collate "C" not null,
    route text not null,
    digest text not null,
    answer text not null, -- JSON: [[task id, status], …]
    expires_at bigint not null,
    primary key (principal, key)
);
create index stale_requests on angelica.requests (expires_at);

create table angelica.functions (
    name text collate "C" primary key,
    version integer not null,
    executor text not null,
    schema text not null,
    defaults text not null,
    doc text not null,
    seen_at bigint not null
);

-- The lease is the worker's, not the task's: a heartbeat writes one row.
create table angelica.workers (
    id text collate "C" primary key,
    host text not null,
    boot text not null,
    lease_until bigint not null,
    seen_at bigint not null,
    info text not null, -- JSON
    control text -- what it is to do: null to run, drain, stop
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- How many tasks stand in each (queue, state), changed by deltas in the transaction that changes the rows. A
-- connection changes the rows of its own slot: in one row for all, every commit of a queue would wait for the other.
-- A transaction of somebody else's, which may stay open for hours, has a slot that nobody else touches: minus its
-- number. What it has left there is folded into the others (`fold_counts`).
create table angelica.counters (
    slot bigint not null,
    queue text collate "C" not null,
    state text collate "C" not null,
    n bigint not null,
    primary key (slot, queue, state)
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0);

-- What holds at each gate (see domain/gates.py): what code declares, what an operator has set, the counter of its rate.
create table angelica.limits (
    gate text collate "C" primary key,
    declared text not null default '{}', -- JSON
    override text not null default '{}', -- JSON
    bucket text -- JSON
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0);

-- Which running tasks count at which gates. One that was released stays as a refund until its rate has taken it back.
create table angelica.passes (
    gate text collate "C" not null,
    task_id text collate "C" not null,
    at bigint, -- when it was counted for the rate, null if it was not
    refund boolean not null default false,
    primary key (gate, task_id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
create index passers on angelica.passes (task_id);

-- Circuit breakers.
create table angelica.breakers (
    name text collate "C" primary key,
    state text not null -- JSON
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0);

-- When each tenant of a fair queue was served last.
create table angelica.tenants (
    gate text collate "C" primary key,
    served bigint not null
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0);

create table angelica.meta (
    key text collate "C" primary key,
    value text not null
);
-- By this a store knows its own tables again, whatever connection leads to them.
insert into angelica.meta (key, value) values ('store_id', gen_random_uuid()::text);

create table angelica.schedules (
    id text collate "C" primary key,
    phase text collate "C" not null,
    phase_reason text not null,
    next_fire_at bigint,
    last_fire_at bigint,
    version integer not null,
    runs bigint not null,
    streak integer not null,
    rearms boolean not null, -- where the end of a run sets next_fire_at
    runs_seen bigint not null, -- how many unfinished runs a tick looks at: 0, 1001 or all
    keep_fires bigint not null,
    delete_at bigint,
    paused_at bigint,
    function text collate "C" not null,
    owner text not null,
    anchor bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    seen_at bigint,
    tz_version text collate "C" not null,
    trigger_spec text not null, -- JSON, like the two below: see schedule_rows.py
    run text not null,
    rules text not null,
    declared text,
    override text,
    source text collate "C" generated always as (declared::jsonb ->> '$source') stored
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- What fires next; paused, completed and disarmed ones are not in it.
create index firing on angelica.schedules (next_fire_at, id) where phase = 'active' and next_fire_at is not null;
create index resting on angelica.schedules (phase, id) where phase <> 'active';
create index scheduled_functions on angelica.schedules (function, id);
create index declared_by on angelica.schedules (source, id) where source is not null;
create index timed_by on angelica.schedules (id, tz_version) where tz_version <> '';
create index ending on angelica.schedules (delete_at, id) where delete_at is not null;

-- What operators deleted, so that code does not declare it again.
create table angelica.tombstones (
    schedule_id text collate "C" primary key,
    deleted_at bigint not null
);

-- One row for each run, one for each span of fires that did not run. `slot` is empty for the one run of a fire, the
-- reason for a span, the task's id for a run of its own.
create table angelica.fires (
    schedule_id text collate "C" not null,
    fire_time bigint not null,
    slot text collate "C" not null,
    kind text not null,
    task_id text,
    reason text,
    last bigint,
    count integer not null,
    recorded_at bigint not null,
    keep_until bigint not null,
    primary key (schedule_id, fire_time, slot)
);
create index old_fires on angelica.fires (keep_until);

-- The runs that have not ended, in the order in which they came; a task that is not one costs nothing here.
create table angelica.runs (
    place bigint generated always as identity primary key,
    schedule_id text collate "C" not null,
    task_id text collate "C" not null unique,
    waits_for text collate "C" -- the run that must end before: set exactly while the task is waiting
);
create index runs_of on angelica.runs (schedule_id, place);
create index waiters on angelica.runs (waits_for) where waits_for is not null;
