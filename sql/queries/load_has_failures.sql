-- load_has_failures: whether the warehouse has refused any record of this import so far.
select exists(
    select 1
    from ledger.failure
    where failure.import_id = %(import_id)s
)
