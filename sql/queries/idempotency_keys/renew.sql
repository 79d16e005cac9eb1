-- idempotency_keys/renew: give the idempotency key of a failed upload to another import; of two requests only one gets it.
update access.idempotency
set
    import_id = :import_id,
    created_at = clock_timestamp()
where
    key_id = :key_id
    and idempotency_key = :idempotency_key
    and import_id = :stale_id
returning idempotency.import_id
