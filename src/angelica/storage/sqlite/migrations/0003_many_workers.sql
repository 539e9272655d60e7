-- For many workers. Workers of the version before go on beside it: nothing that they write or read is changed.
-- What a worker is to do: null to run, drain, stop.
alter table workers add column control text;

-- What waits for a worker with the right labels, by its lane (`executor`: the kind, and what else is needed).
create index incapable on tasks (executor, id) where held = 'no_capable_worker';
