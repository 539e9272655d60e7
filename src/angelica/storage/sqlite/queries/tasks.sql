-- Batches come in as one JSON text through `jsonb_each`: its values stay binary, so that `->>` does not parse each row
-- again for each column (`json_each` takes nearly twice as long).

-- One row of a task as JSON; the rare parts only where there can be any (see rows.py).
-- fragment: task
json_array(
    id, function, queue, executor, priority, version, state, run_at, created_at, payload, policy, trace_id, attempt,
    revision,
    case when revision > 0 or extras is not null or unique_spec is not null or expires_at is not null
        or deadline is not null
    then json_array(
        asked_at, unique_spec, expires_at, deadline, extras, failures, crashes, held, worker, cancel_requested,
        cancel_reason, started_at, finished_at, result, error, checkpoint, progress, usage
    ) end
)

-- verb: tasks_by_ids
select json_group_array(json_array(place, ${task}))
from (select key as place, value as wanted from jsonb_each(?1)) cross join tasks on id = wanted

-- verb: standing_tasks
select json_group_array(json_array(place, ${task}))
from (select key as place, value as wanted from jsonb_each(?1)) cross join tasks on id = wanted

-- verb: insert_plain
insert into tasks (
    id, function, version, queue, executor, priority, state, run_at, created_at, trace_id, payload, policy
)
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8, value ->> 9, value ->> 10, value ->> 11
from jsonb_each(?1) where true
on conflict do nothing

-- verb: insert_full
insert into tasks (
    id, function, version, queue, executor, priority, state, run_at, created_at, trace_id, payload, policy,
    unique_key, unique_spec, expires_at, deadline, parent_id, retry_of, extras
)
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15,
    value ->> 16, value ->> 17, value ->> 18
from jsonb_each(?1) where true
on conflict do nothing

-- verb: insert_labels
insert into labels (task_id, name, value)
select value ->> 0, value ->> 1, value ->> 2 from jsonb_each(?1) where true
on conflict do nothing

-- verb: unique_holders
select json_group_array(json_array(function, unique_key, tasks.id))
from jsonb_each(?1) e cross join tasks indexed by uniques
    on function = e.value ->> 0 and unique_key = e.value ->> 1 and unique_key is not null

-- verb: request
select json_array(route, digest, answer, expires_at) from requests where principal = ?1 and key = ?2

-- verb: put_request
insert into requests (principal, key, route, digest, answer, expires_at) values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (principal, key) do update set
    route = excluded.route, digest = excluded.digest, answer = excluded.answer, expires_at = excluded.expires_at

-- verb: add_counts
insert into counters (queue, state, n)
select value ->> 0, value ->> 1, value ->> 2 from jsonb_each(?1) where true
on conflict (queue, state) do update set n = n + excluded.n

-- verb: due_rows
select json_group_array(json_array(id, queue)) from (
    select id, queue from tasks indexed by due where state = 'scheduled' and run_at <= ?1 order by run_at, id limit ?2
)

-- verb: promote
update tasks set state = 'queued', revision = revision + 1
where id in (select value ->> 0 from jsonb_each(?1))

-- verb: next_due
select min(run_at) from tasks indexed by due where state = 'scheduled'

-- verb: cancel_rows
select json_group_array(json_array(id, queue, state, attempt, policy, cancel_requested))
from tasks where id in (select value from jsonb_each(?1))

-- verb: cancel_waiting
update tasks set
    state = 'cancelled', held = null, error = e.value ->> 1, finished_at = e.value ->> 2, retain_until = e.value ->> 3,
    unique_key = case when unique_spec ->> 1 = 'live' then null else unique_key end, revision = revision + 1
from jsonb_each(?1) e where tasks.id = e.value ->> 0

-- verb: request_cancel
update tasks set cancel_requested = 1, cancel_reason = ?2, revision = revision + 1
where id in (select value from jsonb_each(?1))

-- verb: ended_rows
select json_group_array(json_array(id, queue, state))
from tasks where id in (select value from jsonb_each(?1)) and +state in ('succeeded', 'failed', 'cancelled')

-- verb: outdated_rows
select json_group_array(json_array(id, queue, state)) from (
    select id, queue, state from tasks indexed by retained
    where state in ('succeeded', 'failed', 'cancelled') and retain_until <= ?1 order by retain_until, id limit ?2
)

-- verb: delete_rows
delete from tasks where id in (select value ->> 0 from jsonb_each(?1))

-- verb: delete_labels
delete from labels where task_id in (select value ->> 0 from jsonb_each(?1))

-- verb: delete_attempts
delete from attempts where task_id in (select value ->> 0 from jsonb_each(?1))

-- verb: delete_logs
delete from logs where task_id in (select value ->> 0 from jsonb_each(?1))

-- verb: delete_requests
delete from requests where expires_at <= ?1

-- verb: delete_workers
delete from workers where seen_at <= ?1
    and not exists (select 1 from tasks indexed by running where tasks.worker = workers.id and state = 'running')

-- verb: put_functions
insert into functions (name, version, executor, schema, defaults, doc, seen_at)
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
from jsonb_each(?1) where true
on conflict (name) do update set
    version = excluded.version, executor = excluded.executor, schema = excluded.schema, defaults = excluded.defaults,
    doc = excluded.doc, seen_at = excluded.seen_at

-- verb: put_meta
insert into meta (key, value) values (?1, ?2) on conflict (key) do update set value = excluded.value

-- verb: meta
select value from meta where key = ?1
