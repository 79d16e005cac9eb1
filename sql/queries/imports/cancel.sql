-- imports/cancel: its cancellation is asked for; the first time counts.
update ledger.import
set cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp())
where id = :id
