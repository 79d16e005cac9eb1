-- backup/schemas: the schemas in this database, without PostgreSQL's own.
select schemas.nspname::text as name
from pg_namespace as schemas
where schemas.nspname !~ '^pg_' and schemas.nspname <> 'information_schema'
order by name
