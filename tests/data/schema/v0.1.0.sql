-- The schema of v0.1.0 as a fresh store has it: what a store of that release looks like to the next one.
pragma application_id = 1097754469;
pragma user_version = 1;
CREATE TABLE attempts (
    task_id text not null,
    attempt integer not null,
    outcome text not null,
    worker text,
    started_at integer,
    finished_at integer not null,
    error text,
    primary key (task_id, attempt)
) strict, without rowid;
CREATE TABLE counters (
    queue text not null,
    state text not null,
    n integer not null,
    primary key (queue, state)
) strict, without rowid;
CREATE TABLE functions (
    name text primary key,
    version integer not null,
    executor text not null,
    schema text not null,
    defaults text not null,
    doc text not null,
    seen_at integer not null
) strict, without rowid;
CREATE TABLE labels (
    task_id text not null,
    name text not null,
    value text not null,
    primary key (task_id, name)
) strict, without rowid;
CREATE TABLE logs (
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
CREATE TABLE meta (
    key text primary key,
    value text not null
) strict, without rowid;
CREATE TABLE migrations (
    number integer primary key, name text not null, checksum text not null, applied_at integer not null
) strict
;
CREATE TABLE requests (
    principal text not null,
    key text not null,
    route text not null,
    digest text not null,
    answer text not null, -- JSON: [[task id, status], …]
    expires_at integer not null,
    primary key (principal, key)
) strict, without rowid;
CREATE TABLE tasks (
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
CREATE TABLE workers (
    id text primary key,
    host text not null,
    boot text not null,
    lease_until integer not null,
    seen_at integer not null,
    info text not null -- JSON
) strict, without rowid;
CREATE INDEX cancelled on tasks (created_at, id) where state = 'cancelled';
CREATE INDEX children on tasks (parent_id, created_at, id) where parent_id is not null;
CREATE INDEX due on tasks (run_at, id) where state = 'scheduled';
CREATE INDEX failed on tasks (created_at, id) where state = 'failed';
CREATE INDEX labelled on labels (name, value, task_id);
CREATE INDEX listing on tasks (created_at, id);
CREATE INDEX parked on tasks (held, function, id) where held is not null;
CREATE INDEX ready on tasks (queue, executor, priority desc, run_at, id, held) where state = 'queued' and held is null;
CREATE INDEX retained on tasks (retain_until, id) where state in ('succeeded', 'failed', 'cancelled');
CREATE INDEX retries on tasks (retry_of, created_at, id) where retry_of is not null;
CREATE INDEX running on tasks (worker, id) where state = 'running';
CREATE INDEX stale_requests on requests (expires_at);
CREATE UNIQUE INDEX uniques on tasks (function, unique_key) where unique_key is not null;
insert into migrations (number, name, checksum, applied_at) values (1, 'tasks', '7d0b31dcf8d61a535ea298633c753538d577ba1d9e84df40551a5c83c56d4828', 0);
