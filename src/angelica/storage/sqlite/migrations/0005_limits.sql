-- Limits. Workers of the version before go on beside it: they take no notice of limits, and what they run is counted
-- within a second.
-- What holds at each gate (see domain/gates.py): what code declares, what an operator has set, the counter of its rate.
create table limits (
    gate text primary key,
    declared text not null default '{}', -- JSON
    override text not null default '{}', -- JSON
    bucket text -- JSON
) strict, without rowid;

-- Which running tasks count at which gates. One that was released stays as a refund until its rate has taken it back.
create table passes (
    gate text not null,
    task_id text not null,
    at integer, -- when it was counted for the rate, null if it was not
    refund integer not null default 0,
    primary key (gate, task_id)
) strict, without rowid;
create index passers on passes (task_id);

-- What a gate holds, in the order of claim.
create index gated on tasks (held, priority desc, run_at, id) where held is not null;
