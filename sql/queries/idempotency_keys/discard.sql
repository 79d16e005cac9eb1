-- idempotency_keys/discard: a request that came to nothing may be repeated under the same Idempotency-Key.
delete from access.idempotency
where
    key_id = :key_id
    and idempotency_key = :idempotency_key
    and import_id = :import_id
