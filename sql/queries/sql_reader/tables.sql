-- sql_reader/tables: the columns of all that a role may read in a schema, in their order.
select
    pg_class.relname as name,
    pg_attribute.attname as column_name,
    format_type(pg_attribute.atttypid, pg_attribute.atttypmod) as type
from pg_catalog.pg_class
inner join pg_catalog.pg_namespace on pg_class.relnamespace = pg_namespace.oid
inner join pg_catalog.pg_attribute on pg_class.oid = pg_attribute.attrelid
where
    pg_namespace.nspname = :schema
    and pg_class.relkind in ('r', 'p', 'v', 'm')
    and pg_attribute.attnum > 0
    and not pg_attribute.attisdropped
    and has_table_privilege(to_regrole(quote_ident(:role)), pg_class.oid, 'select')
order by pg_class.relname, pg_attribute.attnum
