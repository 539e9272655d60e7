-- For many workers. Workers of the version before go on beside it: nothing that they write or read is changed.
-- What a worker is to do: null to run, drain, stop.
alter table workers add column control text;
