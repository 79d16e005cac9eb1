-- api_keys/rotate: another secret for a key; the one before it works for a while, and any before that no more.
update access.api_key
set
    previous_hash = secret_hash,
    previous_until = clock_timestamp() + make_interval(secs => :overlap_seconds),
    secret_hash = :secret_hash,
    generation = generation + 1,
    rotated_at = clock_timestamp(),
    expires_at = coalesce(cast(:expires_at as timestamptz), expires_at),
    expiry_recorded_at = null
where id = :id
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
