-- What attempts took, by function: only tasks that were measured are in it.
create index measured on tasks (function, finished_at, id) where usage is not null and finished_at is not null;
