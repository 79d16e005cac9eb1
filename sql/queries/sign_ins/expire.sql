-- sign_ins/expire: forget sign-in links that open nothing any more: used, or past their time.
delete from access.sign_in
where
    used_at is not null
    or expires_at <= :now
