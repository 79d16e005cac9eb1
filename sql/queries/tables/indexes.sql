-- tables/indexes: a table's indexes but those of its constraints. ``what`` is the definition from USING on; ``note`` its comment.
select
    index.relname as name,
    pg_index.indisunique as is_unique,
    pg_index.indisvalid and pg_index.indisready as is_valid,
    coalesce(obj_description(index.oid, 'pg_class'), '') as note,
    substr(
        pg_get_indexdef(index.oid),
        length(
            format(
                'CREATE %%sINDEX %%I ON %%I.%%I ',
                case when pg_index.indisunique then 'UNIQUE ' else '' end,
                index.relname, pg_namespace.nspname, owner.relname
            )
        ) + 1
    ) as what
from pg_catalog.pg_index
inner join pg_catalog.pg_class as index on pg_index.indexrelid = index.oid
inner join pg_catalog.pg_class as owner on pg_index.indrelid = owner.oid
inner join pg_catalog.pg_namespace on owner.relnamespace = pg_namespace.oid
where
    pg_index.indrelid = %(relation)s::regclass
    and not exists (select 1 from pg_catalog.pg_constraint where pg_constraint.conindid = pg_index.indexrelid)
order by index.relname
