-- sessions/expire: delete sessions that are over.
delete from access.session
where session.expires_at <= :now
