-- sessions/end: end one session.
delete from access.session
where session.token_hash = :token_hash
