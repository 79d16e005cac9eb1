-- import_stale: uploads that began long ago and never became whole; they may still grow.
select
    import.id::text as id,
    import.key
from ledger.import
where
    import.state = 'awaiting_upload'
    and import.created_at < :since
