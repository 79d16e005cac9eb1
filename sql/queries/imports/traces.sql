-- imports/traces: what is asked of a page of imports at once; those that the ledger does not know are not among them.
select
    import.id::text as id,
    import.state,
    import.key,
    import.etag,
    import.finished_at
from ledger.import
where import.id = any(:ids)
