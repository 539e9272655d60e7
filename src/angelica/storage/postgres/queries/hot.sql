-- What every plain task goes through: one statement in, one statement that ends the last batch and takes the next.
-- Batches come as arrays, the longest as columns that are joined by U+001F (texts.py). Each statement is a transaction
-- of its own; where something is in the way the verbs step in.

-- The counts of what these statements have moved; $1 is the slot of the connection.
-- fragment: add_moved
insert into angelica.counters (slot, queue, state, n)
select $1::int, m.queue, m.state, sum(m.n) from moved m group by m.queue, m.state having sum(m.n) <> 0
order by m.queue, m.state
on conflict (slot, queue, state) do update set n = counters.n + excluded.n

-- Tells other processes, if $2 says what.
-- fragment: notify
case when $2::text is not null then pg_notify('angelica', $2) is null end

-- A row of new tasks has the number of its kind; $3…$9 are the kinds (function, version, queue, executor, priority,
-- state, policy): what most rows of a batch share is sent and read once.
-- fragment: kind_columns
id, function, version, queue, executor, priority, state, indexed, policy

-- fragment: kind_values
r.id, ($3::text[])[r.kind], ($4::int[])[r.kind], ($5::text[])[r.kind], ($6::text[])[r.kind], ($7::int[])[r.kind],
($8::text[])[r.kind],
case ($8::text[])[r.kind] when 'queued' then 'ready' when 'scheduled' then 'scheduled' end, ($9::text[])[r.kind]

-- fragment: add_counted_plain
insert into angelica.counters (slot, queue, state, n)
select $1::int, c.queue, c.state, c.n from unnest($16::text[], $17::text[], $18::bigint[]) c (queue, state, n)
order by c.queue, c.state
on conflict (slot, queue, state) do update set n = counters.n + excluded.n

-- fragment: add_counted_full
insert into angelica.counters (slot, queue, state, n)
select $1::int, c.queue, c.state, c.n from unnest($27::text[], $28::text[], $29::bigint[]) c (queue, state, n)
order by c.queue, c.state
on conflict (slot, queue, state) do update set n = counters.n + excluded.n

-- Tasks whose ids are thought to be new; one that stands undoes all of it. $16…$18 are the counts.
-- verb: store_plain
with r as materialized (
    select * from unnest(
        string_to_array($10, E'\x1f'), string_to_array($11, E'\x1f')::int[], string_to_array($12, E'\x1f')::bigint[],
        string_to_array($13, E'\x1f')::bigint[], string_to_array($14, E'\x1f'), string_to_array($15, E'\x1f')
    ) r (id, kind, run_at, created_at, trace_id, payload)
),
new as (
    insert into angelica.tasks (${kind_columns}, run_at, created_at, trace_id, payload)
    select ${kind_values}, r.run_at, r.created_at, coalesce(r.trace_id, ''), r.payload from r
),
listed as (insert into angelica.listing (id, created_at) select r.id, r.created_at from r),
counted as (${add_counted_plain})
select ${notify} as told

-- fragment: full_rows
insert into angelica.tasks (
    ${kind_columns}, run_at, created_at, trace_id, payload, unique_key, unique_spec, expires_at, deadline, parent_id,
    retry_of, schedule_id, extras
)
select
    ${kind_values}, r.run_at, r.created_at, r.trace_id, r.payload, r.unique_key, r.unique_spec, r.expires_at,
    r.deadline, r.parent_id, r.retry_of, r.schedule_id, r.extras
from impatient cross join unnest(
    $10::text[], $11::int[], $12::bigint[], $13::bigint[], $14::text[], $15::text[], $16::text[], $17::text[],
    $18::bigint[], $19::bigint[], $20::text[], $21::text[], $22::text[], $23::text[]
) r (
    id, kind, run_at, created_at, trace_id, payload, unique_key, unique_spec, expires_at, deadline, parent_id, retry_of,
    schedule_id, extras
)
where impatient.set is not null

-- Where a key or an id of a task is in a transaction that is still open, its insert would wait for the end of that. It
-- gives up instead, before those are late who came in the same batch (contention.py).
-- fragment: impatient
impatient as materialized (select set_config('lock_timeout', '200ms', true) as set)

-- The same for tasks with rare parts; $24…$26 are their labels, $27…$29 the counts.
-- verb: store_full
with ${impatient},
new as (${full_rows}),
listed as (
    insert into angelica.listing (id, created_at)
    select r.id, r.created_at from impatient cross join unnest($10::text[], $13::bigint[]) r (id, created_at)
    where impatient.set is not null
),
labelled as (
    insert into angelica.labels (task_id, name, value)
    select l.task_id, l.name, l.value from unnest($24::text[], $25::text[], $26::text[]) l (task_id, name, value)
),
counted as (${add_counted_full})
select ${notify} as told

-- The same where some may stand: those are left as they are, and told by id, as often as they came in vain.
-- verb: insert_full
with ${impatient},
new as (
    ${full_rows}
    on conflict do nothing
    returning id, created_at, queue, state
),
listed as (insert into angelica.listing (id, created_at) select id, created_at from new),
labelled as (
    insert into angelica.labels (task_id, name, value)
    select l.task_id, l.name, l.value from unnest($24::text[], $25::text[], $26::text[]) l (task_id, name, value)
    where case when l.task_id in (select id from new) then true end
    on conflict do nothing
),
moved as (select queue, state, count(*) as n from new group by queue, state),
counted as (${add_moved})
select
    case when (select count(*) from new) < cardinality($10) then array(
        select x.id from unnest($10) x (id) except all select id from new
    ) end as standing,
    case when exists (select 1 from new) then ${notify} end as told

-- Which levels of priority each lane of the kinds $1 in the queues $2 (or any) has, with the oldest run_at of each: a
-- loose walk over the index, one seek for each; the lanes of a kind stand from `kind` up to `kind<`. How
-- many are ready, up to $3, only where there is something to share out. `edition` is that of the limits.
-- verb: ready_levels
with recursive
walked (name) as (
    select * from (
        select t.queue from angelica.tasks t
        where t.indexed = 'ready' and $2::text[] is null order by t.queue limit 1
    ) first
    union all
    select (
        select t.queue from angelica.tasks t
        where t.indexed = 'ready' and t.queue > walked.name order by t.queue limit 1
    )
    from walked where walked.name is not null
),
queue (name) as (
    select * from unnest($2::text[])
    union all
    select name from walked where name is not null
),
lane (kind, queue, executor) as (
    select k.kind, queue.name, (
        select t.executor from angelica.tasks t
        where t.indexed = 'ready' and t.queue = queue.name
            and t.executor >= k.kind and t.executor < k.kind || '<'
        order by t.executor limit 1
    )
    from unnest($1::text[]) k (kind) cross join queue
    union all
    select lane.kind, lane.queue, (
        select t.executor from angelica.tasks t
        where t.indexed = 'ready' and t.queue = lane.queue
            and t.executor > lane.executor and t.executor < lane.kind || '<'
        order by t.executor limit 1
    )
    from lane where lane.executor is not null
),
level (executor, queue, priority) as (
    select lane.executor, lane.queue, (
        select t.priority from angelica.tasks t
        where t.indexed = 'ready' and t.queue = lane.queue and t.executor = lane.executor
        order by t.priority desc limit 1
    )
    from lane where lane.executor is not null
    union all
    select level.executor, level.queue, (
        select t.priority from angelica.tasks t
        where t.indexed = 'ready' and t.queue = level.queue and t.executor = level.executor
            and t.priority < level.priority
        order by t.priority desc limit 1
    )
    from level where level.priority is not null
),
found as materialized (select * from level where priority is not null)
select
    f.executor, f.queue, f.priority,
    (
        select t.run_at from angelica.tasks t
        where t.indexed = 'ready' and t.queue = f.queue and t.executor = f.executor
            and t.priority = f.priority
        order by t.run_at limit 1
    ) as oldest,
    case when (select count(*) from found) > 1 then (
        select count(*) from (
            select 1 from angelica.tasks t
            where t.indexed = 'ready' and t.queue = f.queue and t.executor = f.executor
                and t.priority = f.priority
            limit $3::bigint
        ) c
    ) end as ready,
    (select value from angelica.meta where key = 'limits') as edition
from found f

-- The same for a worker that takes only tasks with the labels $4 and $5 (names, values): it looks at every ready row.
-- verb: selected_levels
select
    t.executor, t.queue, t.priority, min(t.run_at) as oldest, least(count(*), $3::bigint) as ready,
    (select value from angelica.meta where key = 'limits') as edition
from angelica.tasks t
where t.indexed = 'ready' and ($2::text[] is null or t.queue = any ($2))
    and split_part(t.executor, ';', 1) = any ($1::text[])
    and not exists (
        select 1 from unnest($4::text[], $5::text[]) s (name, value)
        left join angelica.labels l on l.task_id = t.id and l.name = s.name where l.value is distinct from s.value
    )
group by t.executor, t.queue, t.priority

-- The same of lanes that are known ($1 executors, $2 queues, $3 priorities), each from where its ready rows begin
-- ($4 run_at, $5 id): its place in $1, and the first that is ready; none without one. How many are ready only where
-- there are several.
-- verb: levels_from
select k.place, first.run_at, first.id, case when cardinality($1::text[]) > 1 then (
    select count(*) from (
        select 1 from angelica.tasks t
        where t.indexed = 'ready' and t.queue = k.queue and t.executor = k.executor
            and t.priority = k.priority and (t.run_at, t.id) >= (k.run_at, k.id)
        limit $6::bigint
    ) c
) end as ready, (select value from angelica.meta where key = 'limits') as edition
from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::text[]) with ordinality
    k (executor, queue, priority, run_at, id, place)
cross join lateral (
    select t.run_at, t.id from angelica.tasks t
    where t.indexed = 'ready' and t.queue = k.queue and t.executor = k.executor
        and t.priority = k.priority and (t.run_at, t.id) >= (k.run_at, k.id)
    order by t.run_at, t.id limit 1
) first

-- The first ready row of each part of the index in which no lane is known: between two queues ($1 after which, $2 before
-- which; null for an open end), in a queue ($3) between two lanes ($4, $5), or in a queue and lane ($6, $7) between two
-- priorities ($8 above, $9 below).
-- verb: levels_beside
select found.executor, found.queue, found.priority, found.run_at, found.id
from unnest($1::text[], $2::text[]) g (after, before)
cross join lateral (
    select t.executor, t.queue, t.priority, t.run_at, t.id from angelica.tasks t
    where t.indexed = 'ready' and t.queue > coalesce(g.after, '')
        and t.queue < coalesce(g.before, U&'\+10FFFF')
    order by t.queue, t.executor, t.priority desc, t.run_at, t.id limit 1
) found
union all
select found.executor, found.queue, found.priority, found.run_at, found.id
from unnest($3::text[], $4::text[], $5::text[]) g (queue, after, before)
cross join lateral (
    select t.executor, t.queue, t.priority, t.run_at, t.id from angelica.tasks t
    where t.indexed = 'ready' and t.queue = g.queue and t.executor > coalesce(g.after, '')
        and t.executor < coalesce(g.before, U&'\+10FFFF')
    order by t.executor, t.priority desc, t.run_at, t.id limit 1
) found
union all
select found.executor, found.queue, found.priority, found.run_at, found.id
from unnest($6::text[], $7::text[], $8::int[], $9::int[]) g (queue, executor, above, below)
cross join lateral (
    select t.executor, t.queue, t.priority, t.run_at, t.id from angelica.tasks t
    where t.indexed = 'ready' and t.queue = g.queue and t.executor = g.executor
        and t.priority > g.above and t.priority < g.below
    order by t.priority desc, t.run_at, t.id limit 1
) found

-- The first ready row of a lane (executor, queue, priority) that stands before a place in it.
-- verb: ready_before
select t.run_at, t.id from angelica.tasks t
where t.indexed = 'ready' and t.queue = $2 and t.executor = $1 and t.priority = $3::int
    and (t.run_at, t.id) < ($4::bigint, $5)
order by t.run_at, t.id limit 1

-- How many entries of the index this session has met, those of rows that are gone included, since it last reported its
-- statistics: that is not within a transaction.
-- verb: entries_met
select pg_stat_get_xact_tuples_returned('angelica.ready'::regclass)

-- The columns of a task that has just been taken, the rare parts only where there can be any.
-- fragment: taken
p.lane, t.id, t.function, t.version, t.run_at, t.created_at, t.payload, t.policy, t.trace_id, t.attempt, t.revision,
case when t.revision > 1 or t.extras is not null or t.unique_spec is not null or t.expires_at is not null
    or t.deadline is not null
then json_build_array(
    t.asked_at, t.unique_spec, t.expires_at, t.deadline, t.extras, t.failures, t.crashes, t.held, t.worker,
    t.cancel_requested, t.cancel_reason, t.started_at, t.finished_at, t.result, t.error, t.checkpoint, t.progress,
    t.usage
) end as rare

-- The first ready rows of each lane (queue, executor, priority, how many, from which run_at and id on), passing over
-- what others take right now. `late`: it may no longer start ($4 is the wall clock). $3 is the worker.
-- fragment: lanes
unnest($5::text[], $6::text[], $7::int[], $8::int[], $9::bigint[], $10::text[]) with ordinality
    l (queue, executor, priority, wanted, run_at, id, lane)

-- fragment: late
coalesce(t.expires_at <= $4::bigint, false) or coalesce(t.deadline <= $4, false)

-- fragment: in_lane
from angelica.tasks t
where t.indexed = 'ready' and t.queue = l.queue and t.executor = l.executor
    and t.priority = l.priority and (t.run_at, t.id) >= (l.run_at, l.id)
order by t.run_at, t.id limit l.wanted for update skip locked

-- fragment: picked
select l.lane, r.place, r.late
from ${lanes} cross join lateral (select t.ctid as place, ${late} as late ${in_lane}) r

-- The same, but late is also what has to pass a gate (the functions of $12; the keys in its rare parts may be none),
-- and all of it where the limits are not of the edition $11 any more.
-- fragment: picked_freely
select l.lane, r.place, r.late
from ${lanes} cross join lateral (
    select t.ctid as place,
        ${late} or (select value from angelica.meta where key = 'limits') is distinct from $11::text
        or ($11 is not null and (
            t.function = any ($12::text[]) or (
                t.extras is not null and (strpos(t.extras, '"limits":') > 0 or strpos(t.extras, '"uses":') > 0)
            )
        )) as late
    ${in_lane}
) r

-- fragment: add_claim
insert into angelica.claims (worker, ids) select $3, array_agg(id) from taken having count(*) > 0

-- fragment: keep_ended
insert into angelica.retention (until, n, ids)
select min(retain_until), count(*), array_agg(id) from ended group by retain_until / 60000000

-- fragment: moved_taken
select k.queue, s.state, k.n * s.sign as n
from (select queue, count(*) as n from taken group by queue) k
cross join (values ('queued', -1), ('running', 1)) s (state, sign)

-- What is in time of what was picked, and the rest by name.
-- fragment: take_on_time
taken as (
    update angelica.tasks t set
        state = 'running', indexed = null, attempt = t.attempt + 1, worker = $3, started_at = null,
        revision = t.revision + 1
    from picked p
    where t.ctid = p.place and not p.late
    returning t.queue as queue, ${taken}
),
claimed as (${add_claim}),
moved as (${moved_taken}),
counted as (${add_moved})
select
    case when (select bool_or(late) from picked) then array(
        select t.id from picked p join angelica.tasks t on t.ctid = p.place where p.late order by p.lane, t.run_at, t.id
    ) end as late,
    ${notify} as told,
    taken.*
from (select) one left join taken on true

-- fragment: take_picked
taken as (
    update angelica.tasks t set
        state = 'running', indexed = null, attempt = t.attempt + 1, worker = $3, started_at = null,
        revision = t.revision + 1
    from picked p
    where t.ctid = p.place and not (select coalesce(bool_or(late), false) from picked)
    returning t.queue as queue, ${taken}
),
claimed as (${add_claim} returning place),
over as (delete from angelica.claims where worker = $3 and place = any ($13::bigint[]))

-- Takes the next tasks; none of them if one may no longer start. $13 are claims of this worker of which nothing runs
-- any more.
-- verb: claim
with picked as materialized (${picked_freely}),
${take_picked},
moved as (${moved_taken}),
counted as (${add_moved})
select
    null as stale, (select bool_or(late) from picked) as late, $2::text is null as told,
    (select place from claimed) as claimed,
    taken.*
from (select) one left join taken on true

-- The same, and before ends the attempts of $14…$19 as succeeded and stores the log lines of $20…$27 that they left.
-- verb: exchange
with ended as (
    update angelica.tasks t set
        state = 'succeeded', result = e.result, started_at = coalesce(e.started_at, t.started_at),
        finished_at = e.finished_at, retain_until = e.retain_until, error = null, usage = null,
        unique_key = case when t.unique_spec is not null and t.unique_spec::json ->> 1 = 'live' then null
            else t.unique_key end,
        revision = t.revision + 1
    from unnest(
        string_to_array($14, E'\x1f'), string_to_array($15, E'\x1f')::int[], string_to_array($16, E'\x1f', ''),
        string_to_array($17, E'\x1f', '')::bigint[], string_to_array($18, E'\x1f')::bigint[],
        string_to_array($19, E'\x1f', '')::bigint[]
    ) e (id, attempt, result, started_at, finished_at, retain_until)
    where t.id = e.id and t.attempt = e.attempt and t.state = 'running'
    returning t.id, t.queue, t.retain_until
),
kept as (${keep_ended}),
logged as (
    insert into angelica.logs (task_id, attempt, seq, at, stream, level, logger, message)
    select l.* from unnest(
        $20::text[], $21::int[], $22::int[], $23::bigint[], $24::text[], $25::text[], $26::text[], $27::text[]
    ) l (task_id, attempt, seq, at, stream, level, logger, message)
    where case when l.task_id in (select id from ended) then true end
    on conflict do nothing
),
picked as materialized (${picked_freely}),
${take_picked},
moved as (
    select e.queue, s.state, e.n * s.sign as n
    from (select queue, count(*) as n from ended group by queue) e
    cross join (values ('running', -1), ('succeeded', 1)) s (state, sign)
    union all
    ${moved_taken}
),
counted as (${add_moved})
select
    -- Sub-selects, which are asked once: what stands here by itself is worked out again for each row.
    (
        select array(
            select x.id from unnest(string_to_array($14, E'\x1f')) x (id)
            where case when x.id in (select id from ended) then false else true end
        ) where (select count(*) from ended) < cardinality(string_to_array($14, E'\x1f'))
    ) as stale,
    (select bool_or(late) from picked) as late,
    (select ${notify} where exists (select 1 from ended)) as told,
    (select place from claimed) as claimed,
    taken.*
from (select) one left join taken on true

-- The same claim inside a transaction of several statements, with the late ones told by name.
-- verb: take
with picked as materialized (${picked}),
${take_on_time}

-- The same for a worker that takes only tasks with the labels $11 and $12.
-- verb: take_selected
with picked as materialized (
    select l.lane, r.place, r.late
    from ${lanes} cross join lateral (
        select t.ctid as place, ${late} as late
        from angelica.tasks t
        where t.indexed = 'ready' and t.queue = l.queue and t.executor = l.executor
            and t.priority = l.priority and (t.run_at, t.id) >= (l.run_at, l.id)
            and not exists (
                select 1 from unnest($11::text[], $12::text[]) s (name, value)
                left join angelica.labels b on b.task_id = t.id and b.name = s.name
                where b.value is distinct from s.value
            )
        order by t.run_at, t.id limit l.wanted for update skip locked
    ) r
),
${take_on_time}
