-- api_keys/revoke: revoke a key; the time of the first revocation is kept.
update access.api_key
set revoked_at = coalesce(revoked_at, clock_timestamp())
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
