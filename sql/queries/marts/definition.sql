-- marts/definition: what kind of view a mart is now, and the text it was made from (kept as its comment).
select
    case when pg_class.relkind = 'm' then 'materialized view' else 'view' end as kind,
    coalesce(obj_description(pg_class.oid, 'pg_class'), '') as comment
from pg_catalog.pg_class
inner join pg_catalog.pg_namespace on pg_class.relnamespace = pg_namespace.oid
where
    pg_namespace.nspname = 'warehouse'
    and pg_class.relname = :name
    and pg_class.relkind in ('m', 'v')
