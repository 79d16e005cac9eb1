-- database_logins/list: logins to the database, newest first; of an owner or of all, without or with the revoked ones.
-- most: null for no limit.
select
    database_login.id::text as id,
    database_login.role,
    database_login.reader,
    database_login.label,
    database_login.owner_kind,
    database_login.owner_id::text as owner_id,
    database_login.owner_name,
    database_login.datasets,
    database_login.unmask,
    database_login.created_at,
    database_login.expires_at,
    database_login.revoked_at,
    database_login.revoked_because
from access.database_login
where
    (cast(:owner_id as uuid) is null or database_login.owner_id = :owner_id)
    and (not :only_live or database_login.revoked_at is null)
order by database_login.created_at desc, database_login.id desc
limit cast(:most as integer)
