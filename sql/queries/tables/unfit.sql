-- tables/unfit: those of these columns that treat ids with different bytes as equal (another type than text, or a
-- nondeterministic collation).
select
    pg_attribute.attname as name,
    format_type(pg_attribute.atttypid, pg_attribute.atttypmod) as type
from pg_catalog.pg_attribute
left join pg_catalog.pg_collation on pg_attribute.attcollation = pg_collation.oid
where
    pg_attribute.attrelid = %(relation)s::regclass
    and pg_attribute.attname = any(%(ids)s)
    and (
        pg_attribute.atttypid not in ('text'::regtype, 'varchar'::regtype)
        or not coalesce(pg_collation.collisdeterministic, true)
    )
order by pg_attribute.attnum
