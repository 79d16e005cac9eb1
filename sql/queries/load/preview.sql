-- load/preview: count what the upsert would do with a part, by the same comparison; only reads.
with excluded as (
    select {values}
    from arriving
)

select
    count(*) filter (where target.{key} is null) as inserted,
    count(*) filter (where target.{key} is not null and ({old}) is distinct from ({new})) as updated,
    count(*) filter (where target.{key} is not null and ({old}) is not distinct from ({new})) as unchanged,
    count(*) filter (where target.{key} is not null and target.{parent} is distinct from excluded.{parent}) as moved
from excluded
left join {table} as target on excluded.{key} = target.{key}
