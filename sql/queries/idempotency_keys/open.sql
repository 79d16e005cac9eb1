-- idempotency_keys/open: record the first request with an idempotency key; nothing if there was one before.
insert into access.idempotency (key_id, idempotency_key, fingerprint, import_id)
values (:key_id, :idempotency_key, :fingerprint, :import_id)
on conflict (key_id, idempotency_key) do nothing
returning idempotency.import_id
