-- imports/lapsed: the key of an upload whose process is dead: it has a lease, and has not renewed it.
select import.key
from ledger.import
where
    import.id = :id
    and import.state = 'awaiting_upload'
    and import.upload_until < clock_timestamp()
