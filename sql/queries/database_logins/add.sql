-- database_logins/add: note a login to the database, unless its owner has too many that work.
insert into access.database_login (
    id, role, reader, label, owner_kind, owner_id, owner_name, datasets, unmask, expires_at
)
select
    :id as id,
    :role as role,
    :reader as reader,
    :label as label,
    :owner_kind as owner_kind,
    :owner_id as owner_id,
    :owner_name as owner_name,
    :datasets as datasets,
    :unmask as unmask,
    :expires_at as expires_at
where
    (
        select count(*)
        from access.database_login
        where
            database_login.owner_id = :owner_id
            and database_login.revoked_at is null
    ) < :most
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
