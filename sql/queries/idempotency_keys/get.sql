-- idempotency_keys/get: the request that was recorded with an idempotency key, and its import.
select
    idempotency.fingerprint,
    idempotency.import_id::text as import_id,
    idempotency.created_at < clock_timestamp() - interval '1 minute' as is_old
from access.idempotency
where
    idempotency.key_id = :key_id
    and idempotency.idempotency_key = :idempotency_key
