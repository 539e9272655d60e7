-- What the server says of itself, and who keeps it from removing dead rows. Anybody may ask; of the sessions of other
-- roles only pid, application and horizon are told to who has no `pg_read_all_stats` (a part of `pg_monitor`).

-- verb: server
select json_build_object(
    'server_version', current_setting('server_version'),
    'database_bytes', pg_database_size(current_database()),
    'connections', (select count(*) from pg_stat_activity
        where datname = current_database() and application_name like $1),
    'connections_all', (select count(*) from pg_stat_activity where datid is not null),
    'max_connections', current_setting('max_connections')::int,
    'synchronous_commit', current_setting('synchronous_commit'),
    'fsync', current_setting('fsync'),
    'standby', pg_is_in_recovery(),
    'role', current_user,
    'sees_all', pg_has_role('pg_read_all_stats', 'usage')
)

-- verb: server_clock
select (extract(epoch from clock_timestamp()) * 1000000)::bigint

-- Sessions that hold the horizon back, and those that sit idle in a transaction. A vacuum holds back nobody.
-- verb: old_transactions
select json_agg(json_build_array(o.pid, o.name, o.state, o.seconds, o.xmin, o.xmin_age)) from (
    select
        a.pid, a.application_name as name, a.state,
        extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds,
        coalesce(a.backend_xid, a.backend_xmin)::text as xmin,
        greatest(age(a.backend_xmin), age(a.backend_xid)) as xmin_age
    from pg_stat_activity a
    where a.pid <> pg_backend_pid() and (a.datid is null or a.datname = current_database())
        and (a.backend_xmin is not null or a.backend_xid is not null or a.state like 'idle in transaction%')
        and not exists (select 1 from pg_stat_progress_vacuum v where v.pid = a.pid)
    order by 4 desc nulls first limit 20
) o

-- verb: prepared_transactions
select json_agg(json_build_array(p.gid, extract(epoch from clock_timestamp() - p.prepared)::float8, age(p.transaction)))
from pg_prepared_xacts p where p.database = current_database()

-- verb: old_slots
select json_agg(json_build_array(s.slot_name, s.active, s.xmin::text, age(s.xmin)))
from pg_replication_slots s where s.xmin is not null

-- verb: broken_indexes
select json_agg(i.indexrelid::regclass::text order by 1) from pg_index i
join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and not (i.indisvalid and i.indisready)

-- verb: checksum_failures
select coalesce(checksum_failures, 0) from pg_stat_database where datname = current_database()

-- verb: count_tasks
select count(*) from angelica.tasks

-- Whoever writes tasks or counters has ended, and the next one waits: what is counted then is what is there.
-- verb: lock_counted
lock table angelica.tasks, angelica.counters in share row exclusive mode
