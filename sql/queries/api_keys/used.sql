-- api_keys/used: a key was used now; written at most once a minute, so that reads write little.
update access.api_key
set last_used_at = clock_timestamp()
where
    id = :id
    and (last_used_at is null or last_used_at < clock_timestamp() - interval '1 minute')
