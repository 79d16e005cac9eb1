-- definitions/mark_removed: a dump has been removed.
update ledger.dropped_dataset
set removed_at = clock_timestamp()
where id = :id and removed_at is null
