-- Tasks with all that belongs to them. Every moment is whole microseconds.
-- With a rowid: updates and claims are a sixth faster than where the text id is the key of the table itself.
create table tasks (
    id text primary key not null,
    function text not null,
    version integer not null,
    queue text not null,
    executor text not null,
    priority integer not null,
    state text not null,
    held text,
    run_at integer not null,
    asked_at integer, -- the run_at that was asked for, where run_at has moved since
    created_at integer not null,
    attempt integer not null default 0,
    failures integer not null default 0,
    crashes integer not null default 0,
    revision integer not null default 0,
    worker text,
    cancel_requested integer not null default 0,
    cancel_reason text,
    started_at integer,
    finished_at integer,
    retain_until integer,
    unique_key text, -- while it is taken: null again at the end where its scope is live
    unique_spec text, -- JSON: [key, scope, on_conflict]
    expires_at integer,
    deadline integer,
    parent_id text,
    retry_of text,
    trace_id text not null,
    payload text not null,
    policy text not null, -- JSON, see rows.py
    extras text, -- JSON
    result text,
    error text, -- JSON
    checkpoint text,
    progress text
) strict;

-- What a claim may take, in the order of claim. Future, held and finished rows are not in it. `held` (always null) is a
-- column so that counting does not have to fetch the rows to see it.
create index ready on tasks (queue, executor, priority desc, run_at, id, held) where state = 'queued' and held is null;
create index due on tasks (run_at, id) where state = 'scheduled';
create index running on tasks (worker, id) where state = 'running';
create index parked on tasks (held, function, id) where held is not null;
create index retained on tasks (retain_until, id) where state in ('succeeded', 'failed', 'cancelled');
create index listing on tasks (created_at, id);
create index failed on tasks (created_at, id) where state = 'failed';
create index cancelled on tasks (created_at, id) where state = 'cancelled';
create unique index uniques on tasks (function, unique_key) where unique_key is not null;
create index children on tasks (parent_id, created_at, id) where parent_id is not null;
create index retries on tasks (retry_of, created_at, id) where retry_of is not null;

create table labels (
    task_id text not null,
    name text not null,
    value text not null,
    primary key (task_id, name)
) strict, without rowid;
create index labelled on labels (name, value, task_id);

create table attempts (
    task_id text not null,
    attempt integer not null,
    outcome text not null,
    worker text,
    started_at integer,
    finished_at integer not null,
    error text,
    primary key (task_id, attempt)
) strict, without rowid;

create table logs (
    task_id text not null,
    attempt integer not null,
    seq integer not null,
    at integer not null,
    stream text not null,
    level text not null,
    logger text not null,
    message text not null,
    primary key (task_id, attempt, seq)
) strict, without rowid;

create table requests (
    principal text not null,
    key text not null,
    route text not null,
    digest text not null,
    answer text not null, -- JSON: [[task id, status], …]
    expires_at integer not null,
    primary key (principal, key)
) strict, without rowid;
create index stale_requests on requests (expires_at);

create table functions (
    name text primary key,
    version integer not null,
    executor text not null,
    schema text not null,
    defaults text not null,
    doc text not null,
    seen_at integer not null
) strict, without rowid;

-- The lease is the worker's, not the task's: a heartbeat writes one row.
create table workers (
    id text primary key,
    host text not null,
    boot text not null,
    lease_until integer not null,
    seen_at integer not null,
    info text not null -- JSON
) strict, without rowid;

-- How many tasks stand in each (queue, state), changed by deltas in the transaction that changes the rows.
create table counters (
    queue text not null,
    state text not null,
    n integer not null,
    primary key (queue, state)
) strict, without rowid;

create table meta (
    key text primary key,
    value text not null
) strict, without rowid;
