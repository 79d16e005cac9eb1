-- definitions/taken: what in the warehouse has this name already, in words; nothing if it is free.
select
    case pg_class.relkind
        when 'r' then 'table' when 'v' then 'view' when 'm' then 'materialized view' when 'i' then 'index' else 'relation'
    end as kind
from pg_catalog.pg_class
where pg_class.relnamespace = to_regnamespace('warehouse') and pg_class.relname = :name
