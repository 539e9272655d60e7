-- Workers of the version before go on beside it: they take no notice of breakers, and know no fair queues.
-- Circuit breakers.
create table breakers (
    name text primary key,
    state text not null -- JSON
) strict, without rowid;

-- When each tenant of a fair queue was served last.
create table tenants (
    gate text primary key,
    served integer not null
) strict, without rowid;
