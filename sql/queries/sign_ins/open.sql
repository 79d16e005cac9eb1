-- sign_ins/open: a token behind a sign-in link; only its hash is kept.
insert into access.sign_in (token_hash, key_id, expires_at)
values (:token_hash, :key_id, clock_timestamp() + make_interval(secs => :seconds))
