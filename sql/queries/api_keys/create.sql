-- api_keys/create: a new API key; only the hash of its secret is kept.
insert into access.api_key (id, name, role, datasets, secret_hash, expires_at, is_break_glass, unmask)
values (:id, :name, :role, :datasets, :secret_hash, :expires_at, :is_break_glass, :unmask)
returning
    api_key.id::text as id,
    api_key.name,
    api_key.role,
    api_key.datasets,
    api_key.created_at,
    api_key.last_used_at,
    api_key.revoked_at,
    api_key.expires_at,
    api_key.generation,
    api_key.rotated_at,
    api_key.previous_until,
    api_key.last_address,
    api_key.is_break_glass,
    api_key.unmask
