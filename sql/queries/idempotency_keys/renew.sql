-- idempotency_keys/renew: take over an Idempotency-Key whose upload came to nothing; of two takers only one succeeds.
update access.idempotency
set
    import_id = :import_id,
    created_at = clock_timestamp()
where
    key_id = :key_id
    and idempotency_key = :idempotency_key
    and import_id = :stale_id
returning idempotency.import_id
