-- Circuit breakers. Workers of the version before go on beside it: they take no notice of breakers.
create table breakers (
    name text primary key,
    state text not null -- JSON
) strict, without rowid;
