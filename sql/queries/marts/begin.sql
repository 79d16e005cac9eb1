-- marts/begin: enter that a refresh of a dataset's marts begins; what was loaded until now will be in them.
insert into ledger.mart_wanted (dataset, wanted_at, tried_at)
values (:dataset, clock_timestamp(), clock_timestamp())
on conflict (dataset) do update
    set tried_at = excluded.tried_at
returning mart_wanted.tried_at
