-- database_logins/revoke: note that a login is revoked, of this owner where one is given; nothing if it already is.
update access.database_login
set
    revoked_at = clock_timestamp(),
    revoked_because = :because
where
    id = :id
    and revoked_at is null
    and (cast(:owner_id as uuid) is null or owner_id = :owner_id)
returning
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
