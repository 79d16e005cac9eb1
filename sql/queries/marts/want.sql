-- marts/want: records of a dataset were loaded, so its marts are to be refreshed.
insert into ledger.mart_wanted (dataset, wanted_at)
values (:dataset, clock_timestamp())
on conflict (dataset) do update
    set wanted_at = excluded.wanted_at
