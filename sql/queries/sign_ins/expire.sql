-- sign_ins/expire: delete sign-in links that were used or have expired.
delete from access.sign_in
where
    used_at is not null
    or expires_at <= :now
