-- foreign_writes/other_writers: roles that may write to a table of the warehouse, beside us, superusers, and the owners of
-- the tables with their members.
select distinct roles.rolname
from pg_class as tables
inner join pg_namespace as schemas on tables.relnamespace = schemas.oid
cross join pg_roles as roles
where
    schemas.nspname = 'warehouse'
    and tables.relkind in ('r', 'p')
    and not roles.rolsuper
    and not pg_has_role(roles.oid, tables.relowner, 'member')
    and roles.rolname != current_user
    and roles.rolname !~ '^pg_'
    and has_table_privilege(roles.oid, tables.oid, 'insert, update, delete, truncate')
order by roles.rolname
