-- application_role/may_create: whether the role exists, and whether this user may create it.
select
    to_regrole(quote_ident(%(role)s)) is not null as has_role,
    roles.rolcreaterole or roles.rolsuper as may_create,
    roles.rolsuper as is_superuser
from pg_catalog.pg_roles as roles
where roles.rolname = current_user
