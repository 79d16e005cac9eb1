-- sessions/get: a session that is valid now: within both limits, and begun under the present rules.
select
    person.id::text as id,
    person.name,
    person.email,
    session.role,
    session.datasets,
    session.started_at as created_at,
    session.last_used_at,
    session.expires_at,
    session.address as last_address,
    session.token_hash,
    session.id_token
from access.session
inner join access.person on session.person_id = person.id
where
    session.token_hash = :token_hash
    and session.rules = :rules
    and session.expires_at > clock_timestamp()
    and session.last_used_at > clock_timestamp() - make_interval(secs => :idle_seconds)
