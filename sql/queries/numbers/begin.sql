-- numbers/begin: enter that a count of a dataset begins; what was loaded until now will be in it.
insert into ledger.dataset_numbers (dataset, wanted_at, tried_at)
values (:dataset, clock_timestamp(), clock_timestamp())
on conflict (dataset) do update
    set tried_at = excluded.tried_at
returning dataset_numbers.tried_at
