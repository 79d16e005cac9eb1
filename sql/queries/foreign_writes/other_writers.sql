-- foreign_writes/other_writers: roles that may write to a table of the warehouse, beside us, the tables' owners and superusers.
select distinct roles.rolname
from pg_class as tables
inner join pg_namespace as schemas on tables.relnamespace = schemas.oid
cross join pg_roles as roles
where
    schemas.nspname = 'warehouse'
    and tables.relkind in ('r', 'p')
    and not roles.rolsuper
    and roles.oid != tables.relowner
    and roles.rolname != current_user
    and roles.rolname !~ '^pg_'
    and has_table_privilege(roles.oid, tables.oid, 'insert, update, delete, truncate')
order by roles.rolname
