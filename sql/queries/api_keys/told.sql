-- api_keys/told: recipients are told now that a break-glass key is used, unless they were a short time ago.
update access.api_key
set told_at = clock_timestamp()
where
    id = :id
    and (told_at is null or told_at < clock_timestamp() - make_interval(secs => :every_seconds))
returning api_key.id
