-- deliveries/put_off: it found no place among those that are sent at once; that is not a try.
update ledger.delivery
set due_at = clock_timestamp() + make_interval(secs => :wait_seconds)
where
    import_id = :import_id
    and channel = :channel
    and target = :target
