-- tables/existing: those of the datasets :names that have their table.
select asked.name
from unnest(cast(:names as text[])) as asked (name)
where to_regclass(format('warehouse.%I', asked.name)) is not null
