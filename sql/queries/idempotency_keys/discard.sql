-- idempotency_keys/discard: a failed request may be repeated with the same idempotency key.
delete from access.idempotency
where
    key_id = :key_id
    and idempotency_key = :idempotency_key
    and import_id = :import_id
