-- imports/stale: awaited uploads whose lease has lapsed, and those without a lease that were opened long ago.
select
    import.id::text as import_id,
    import.key,
    import.upload_until is not null as was_leased
from ledger.import
where
    import.state = 'awaiting_upload'
    and case
        when import.upload_until is null then import.created_at < cast(:since as timestamptz)
        else import.upload_until < clock_timestamp()
    end
