-- definitions/drop: a dataset is not in use any more.
update ledger.dataset_definition
set dropped_at = clock_timestamp()
where name = :name and dropped_at is null
