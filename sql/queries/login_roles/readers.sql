-- login_roles/readers: the roles that a role is a member of.
select pg_roles.rolname::text as name
from pg_catalog.pg_auth_members
inner join pg_catalog.pg_roles on pg_auth_members.roleid = pg_roles.oid
where pg_auth_members.member = to_regrole(quote_ident(%(role)s)) -- noqa: RF02
order by pg_roles.rolname
