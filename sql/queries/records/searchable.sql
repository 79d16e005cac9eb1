-- records/searchable: how large a table is, and which of its indexes can be used.
select
    pg_relation_size(pg_class.oid) as size_bytes,
    array(
        select index.relname::text
        from pg_catalog.pg_index
        inner join pg_catalog.pg_class as index on pg_index.indexrelid = index.oid
        where pg_index.indrelid = pg_class.oid and pg_index.indisvalid
    ) as indexes
from pg_catalog.pg_class
where pg_class.oid = to_regclass(:table)
