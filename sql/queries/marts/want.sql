-- marts/want: enter that a dataset's marts are to be refreshed, since records were loaded.
insert into ledger.mart_wanted (dataset, wanted_at)
values (:dataset, clock_timestamp())
on conflict (dataset) do update
    set wanted_at = excluded.wanted_at
