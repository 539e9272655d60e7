-- What is larger than every live worker, by its lane. Workers of the version before go on beside it: they hold nothing
-- for that reason, and take nothing whose lane says what it needs of a machine.
create index oversized on tasks (executor, id) where held = 'no_worker_fits';
