-- login_roles/closed: the roles of logins that may not log in any more, and had limits in this database or none at all.
select roles.rolname::text as name
from pg_catalog.pg_roles as roles
where
    roles.rolname like 'bulkhead\_login\_%%'
    and not roles.rolcanlogin
    and not exists (
        select 1
        from pg_catalog.pg_db_role_setting as settings
        inner join pg_catalog.pg_database as databases on settings.setdatabase = databases.oid
        where
            settings.setrole = roles.oid
            and databases.datname <> %(database)s -- noqa: RF02
    )
order by roles.rolname
