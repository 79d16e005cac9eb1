-- numbers/want: enter that a dataset is to be counted anew, since records were loaded; return whether a count may begin now.
insert into ledger.dataset_numbers as numbers (dataset, wanted_at)
values (:dataset, clock_timestamp())
on conflict (dataset) do update
    set wanted_at = excluded.wanted_at
returning
    numbers.tried_at is null
    or clock_timestamp() > numbers.tried_at
    + greatest(:pause, coalesce(numbers.seconds, 0) * :rest) * interval '1 second' as is_due
