-- sessions/open: a session of a person; only the hash of its token is kept.
insert into access.session (
    token_hash, person_id, role, datasets, rules, provider_session, id_token, address, expires_at
)
values (
    :token_hash, :person_id, :role, :datasets, :rules, :provider_session, :id_token, :address,
    clock_timestamp() + make_interval(secs => :limit_seconds)
)
