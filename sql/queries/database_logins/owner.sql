-- database_logins/owner: what the owner of a login may do now: a key that works, or a person's newest session, if any.
select
    'key' as kind,
    api_key.datasets,
    api_key.unmask,
    api_key.revoked_at is null and (api_key.expires_at is null or api_key.expires_at > clock_timestamp()) as works
from access.api_key
where api_key.id = :owner_id

union all

(
    select
        'user' as kind,
        session.datasets,
        false as unmask,
        true as works
    from access.session
    where session.person_id = :owner_id
    order by session.started_at desc
    limit 1
)
