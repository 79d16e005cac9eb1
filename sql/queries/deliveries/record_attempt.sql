-- deliveries/record_attempt: one more attempt and its outcome (an empty error: delivered); the last one that fails ends them.
update ledger.delivery
set
    attempts = attempts + 1,
    last_error = :error,
    delivered_at = case when :error = '' then clock_timestamp() else delivered_at end,
    given_up_at = case when :error != '' and :is_last then clock_timestamp() else given_up_at end,
    due_at = clock_timestamp() + make_interval(secs => :wait_seconds)
where
    import_id = :import_id
    and channel = :channel
    and target = :target
