-- load/has_failures: whether the warehouse has refused any record of this import so far. What hangs below the quarantine
-- (part 0) is in it.
select exists(
    select 1
    from ledger.failure
    where failure.import_id = %(import_id)s and failure.part_no > 0
)
