-- dataset_roles/relations: the tables of some datasets, and the marts that read only these, directly or not, and none of which a
-- column is masked (those that are not clear); with their columns.
with recursive reads as (
    select distinct
        pg_rewrite.ev_class as mart,
        pg_depend.refobjid as source
    from pg_catalog.pg_rewrite
    inner join pg_catalog.pg_depend on pg_rewrite.oid = pg_depend.objid
    where
        pg_depend.classid = 'pg_rewrite'::regclass
        and pg_depend.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass)
        and pg_depend.refobjid <> pg_rewrite.ev_class
),

below as (
    select
        reads.mart,
        reads.source
    from reads

    union

    select
        below.mart,
        reads.source
    from below
    inner join reads on below.source = reads.mart
),

granted as (
    select
        pg_class.oid,
        pg_class.relname = any(%(clear)s) as is_clear
    from pg_catalog.pg_class
    where
        pg_class.relnamespace = to_regnamespace('warehouse')
        and pg_class.relkind in ('r', 'p')
        and pg_class.relname = any(%(datasets)s)
),

readable as (
    select granted.oid
    from granted

    union all

    select pg_class.oid
    from pg_catalog.pg_class
    where
        pg_class.relnamespace = to_regnamespace('warehouse')
        and pg_class.relkind in ('v', 'm')
        and exists (select 1 from below where below.mart = pg_class.oid)
        and not exists (
            select 1
            from below
            where
                below.mart = pg_class.oid
                and below.source not in (select granted.oid from granted where granted.is_clear)
                and below.source not in (select reads.mart from reads)
        )
)

select
    pg_class.relname::text as name,
    array_agg(pg_attribute.attname::text order by pg_attribute.attnum) as columns
from readable
inner join pg_catalog.pg_class on readable.oid = pg_class.oid
inner join pg_catalog.pg_attribute on pg_class.oid = pg_attribute.attrelid
where pg_attribute.attnum > 0 and not pg_attribute.attisdropped
group by pg_class.relname
order by pg_class.relname
