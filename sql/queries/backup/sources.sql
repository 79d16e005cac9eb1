-- backup/sources: a page of imports by ID, each with what retention has removed of it.
select
    import.id::text as id,
    import.dataset,
    import.filename,
    import.state,
    import.key,
    import.created_at,
    import.source_removed_at is not null as is_source_removed,
    import.report_removed_at is not null as is_report_removed
from ledger.import
where import.id > cast(:after as uuid) and import.state not in ('awaiting_upload', 'expired', 'canceled')
order by import.id
limit :limit
