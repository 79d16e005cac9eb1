-- marts_of: the materialized views that read a dataset's table.
select distinct mart.relname as name
from pg_catalog.pg_depend
inner join pg_catalog.pg_rewrite on pg_depend.objid = pg_rewrite.oid
inner join pg_catalog.pg_class as mart on pg_rewrite.ev_class = mart.oid
where
    pg_depend.refobjid = cast('warehouse.' || quote_ident(:dataset) as regclass)
    and mart.relkind = 'm'
order by mart.relname
