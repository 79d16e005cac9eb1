-- application_role/readers: the roles of readers that the application's role cannot administer yet.
select roles.rolname::text as name
from pg_catalog.pg_roles as roles
where
    (roles.rolname = 'bulkhead_reader' or roles.rolname ~ '^bulkhead_reader_[0-9a-f]{16}$')
    and not exists (
        select 1
        from pg_catalog.pg_auth_members as members
        where
            members.roleid = roles.oid
            and members.member = to_regrole(quote_ident(%(role)s)) -- noqa: RF02
            and members.admin_option
    )
order by roles.rolname
