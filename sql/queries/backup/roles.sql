-- backup/roles: roles beside our own that have a privilege on something in this database.
select distinct roles.rolname::text as name
from pg_shdepend as dependency
inner join pg_roles as roles on dependency.refobjid = roles.oid
where
    dependency.dbid = (select databases.oid from pg_database as databases where databases.datname = current_database())
    and dependency.refclassid = 'pg_authid'::regclass
    and roles.rolname <> current_user
order by name
