-- mappings/keep: remember the mapping of a file with this header, and how it was read.
insert into ledger.mapping (dataset, header, mapping, options, remembered_by)
values (:dataset, :header, cast(:mapping as jsonb), cast(:options as jsonb), :remembered_by)
on conflict (dataset, header) do update
    set
        mapping = excluded.mapping,
        options = excluded.options,
        remembered_by = excluded.remembered_by,
        remembered_at = clock_timestamp()
