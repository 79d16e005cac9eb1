-- mappings/keep: remember the mapping of a file with this header.
insert into ledger.mapping (dataset, header, mapping, remembered_by)
values (:dataset, :header, cast(:mapping as jsonb), :remembered_by)
on conflict (dataset, header) do update
    set
        mapping = excluded.mapping,
        remembered_by = excluded.remembered_by,
        remembered_at = clock_timestamp()
