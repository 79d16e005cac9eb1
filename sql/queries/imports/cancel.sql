-- imports/cancel: an import's cancellation is requested; the first time counts.
update ledger.import
set cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp())
where id = :id
