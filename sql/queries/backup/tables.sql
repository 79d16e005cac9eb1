-- backup/tables: the tables of records.
select tables.relname::text as name
from pg_class as tables
inner join pg_namespace as schemas on tables.relnamespace = schemas.oid
where schemas.nspname = 'warehouse' and tables.relkind in ('r', 'p')
order by name
