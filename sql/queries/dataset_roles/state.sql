-- dataset_roles/state: a set of datasets: its role, what its schema was made from, and whether this user may create roles.
select
    to_regrole(quote_ident(%(name)s)) is not null as has_role,
    coalesce(obj_description(to_regnamespace(quote_ident(%(name)s)), 'pg_namespace'), '') as made_from,
    pg_roles.rolcreaterole or pg_roles.rolsuper as may_make_roles
from pg_catalog.pg_roles
where pg_roles.rolname = current_user
