-- imports/lapsed: the key of an awaited upload whose lease has lapsed: the process that received it is dead.
select import.key
from ledger.import
where
    import.id = :id
    and import.state = 'awaiting_upload'
    and import.upload_until < clock_timestamp()
