-- load/has_failures: whether a record of this import has failed to load so far. The quarantine (part 0) does not count: it
-- includes all its descendants.
select exists(
    select 1
    from ledger.failure
    where failure.import_id = %(import_id)s and failure.part_no > 0
)
