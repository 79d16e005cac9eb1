-- api_keys/revoke: revoke a key; the time of the first revocation is kept.
update access.api_key
set revoked_at = coalesce(revoked_at, clock_timestamp())
where id = :id
returning api_key.id
