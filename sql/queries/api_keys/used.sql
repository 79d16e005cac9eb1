-- api_keys/used: a key was used now, from this address.
update access.api_key
set
    last_used_at = clock_timestamp(),
    last_address = :address
where
    id = :id
    and (last_used_at is null or last_used_at < clock_timestamp() - interval '1 minute')
