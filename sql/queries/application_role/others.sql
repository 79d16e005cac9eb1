-- application_role/others: what lies in the schema warehouse and belongs to another role.
select
    case pg_class.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end as kind,
    pg_class.relname::text as name
from pg_catalog.pg_class
where
    pg_class.relnamespace = to_regnamespace('warehouse')
    and pg_class.relkind in ('r', 'p', 'v', 'm')
    and pg_class.relowner <> to_regrole(quote_ident(%(role)s))
order by pg_class.relname
