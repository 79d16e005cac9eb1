-- deliveries/postpone: a message is due later, because too many are being sent now; that is no attempt.
update ledger.delivery
set due_at = clock_timestamp() + make_interval(secs => :wait_seconds)
where
    import_id = :import_id
    and channel = :channel
    and target = :target
