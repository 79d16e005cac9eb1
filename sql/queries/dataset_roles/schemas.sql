-- dataset_roles/schemas: the schemas of all sets of datasets.
select pg_namespace.nspname::text as name
from pg_catalog.pg_namespace
where obj_description(pg_namespace.oid, 'pg_namespace') like 'bulkhead: granted, %%'
order by pg_namespace.nspname
