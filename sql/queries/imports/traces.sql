-- imports/traces: state, key and end of many imports at once; those that are not in the ledger are left out.
select
    import.id::text as id,
    import.state,
    import.key,
    import.etag,
    import.finished_at
from ledger.import
where import.id = any(:ids)
