-- What attempts took of the machine, where that was measured. JSON: [cpu_seconds, peak_memory, source]
alter table tasks add column usage text;
alter table attempts add column usage text;
