-- api_keys/revoke: from now on a key opens nothing; the first revocation's time is kept.
update access.api_key
set revoked_at = coalesce(revoked_at, clock_timestamp())
where id = :id
returning api_key.id
