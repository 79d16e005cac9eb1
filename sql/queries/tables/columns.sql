-- tables/columns: a table's columns as PostgreSQL spells them; ``made`` is what it computes by itself (generated, identity).
select
    pg_attribute.attname as name,
    pg_attribute.attnotnull as required,
    format_type(pg_attribute.atttypid, pg_attribute.atttypmod)
    || case
        when pg_attribute.attcollation = pg_type.typcollation then ''
        else ' collate ' || pg_attribute.attcollation::regcollation::text
    end as type,
    pg_get_expr(pg_attrdef.adbin, pg_attrdef.adrelid) as default_value,
    pg_attribute.attgenerated::text || pg_attribute.attidentity::text as made
from pg_catalog.pg_attribute
inner join pg_catalog.pg_type on pg_attribute.atttypid = pg_type.oid
left join pg_catalog.pg_attrdef
    on pg_attribute.attrelid = pg_attrdef.adrelid and pg_attribute.attnum = pg_attrdef.adnum
where
    pg_attribute.attrelid = %(relation)s::regclass
    and pg_attribute.attnum > 0
    and not pg_attribute.attisdropped
order by pg_attribute.attnum
