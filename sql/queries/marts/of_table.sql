-- marts/of_table: the materialized views that read a dataset's table, and whether each can be refreshed concurrently: it has a
-- unique index over columns, without a condition.
select
    mart.relname as name,
    mart.relispopulated and exists (
        select 1
        from pg_catalog.pg_index
        where
            pg_index.indrelid = mart.oid
            and pg_index.indisunique
            and pg_index.indisvalid
            and pg_index.indpred is null
            and pg_index.indexprs is null
    ) as is_readable_meanwhile
from pg_catalog.pg_class as mart
where
    mart.relkind = 'm'
    and mart.oid in (
        select pg_rewrite.ev_class
        from pg_catalog.pg_depend
        inner join pg_catalog.pg_rewrite on pg_depend.objid = pg_rewrite.oid
        where pg_depend.refobjid = to_regclass('warehouse.' || quote_ident(:dataset))
    )
order by mart.relname
