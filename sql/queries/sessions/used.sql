-- sessions/used: note that a session is used.
update access.session
set
    last_used_at = clock_timestamp(),
    address = :address
where session.token_hash = :token_hash
