-- imports/stale: uploads whose lease has lapsed, and uploads without a lease that began long ago; they may still grow.
select
    import.id::text as id,
    import.key,
    import.upload_until is not null as was_leased
from ledger.import
where
    import.state = 'awaiting_upload'
    and case
        when import.upload_until is null then import.created_at < cast(:since as timestamptz)
        else import.upload_until < clock_timestamp()
    end
