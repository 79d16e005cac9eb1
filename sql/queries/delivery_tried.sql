-- delivery_tried: one more try, and what came of it (an empty error: it arrived).
update ledger.delivery
set
    attempts = attempts + 1,
    last_error = :error,
    delivered_at = case when :error = '' then clock_timestamp() else delivered_at end
where
    import_id = :import_id
    and channel = :channel
    and target = :target
