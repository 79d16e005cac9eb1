-- definitions/views_of: the views and materialized views in the warehouse that read a table, however indirectly.
with recursive reads as (
    select
        pg_rewrite.ev_class as mart,
        pg_depend.refobjid as source
    from pg_catalog.pg_rewrite
    inner join pg_catalog.pg_depend on pg_rewrite.oid = pg_depend.objid
    where
        pg_depend.classid = 'pg_rewrite'::regclass
        and pg_depend.refclassid = 'pg_class'::regclass
        and pg_depend.refobjid <> pg_rewrite.ev_class
),

above as (
    select reads.mart
    from reads
    where reads.source = to_regclass('warehouse.' || quote_ident(:name))

    union

    select reads.mart
    from reads
    inner join above on reads.source = above.mart
)

select
    pg_class.relname::text as name,
    pg_class.relkind = 'm' as is_materialized
from above
inner join pg_catalog.pg_class on above.mart = pg_class.oid
where pg_class.relnamespace = to_regnamespace('warehouse')
order by pg_class.relname
