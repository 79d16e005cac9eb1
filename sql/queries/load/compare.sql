-- load/compare: count the part's records that the table does not have, and those that it has with other values.
select
    count(*) filter (where target.{key} is null) as new,
    count(target.{key}) as changed
from arriving
left join {table} as target on arriving.{key} = target.{key}
where target.{key} is null or ({old}) is distinct from ({new})  -- noqa: RF01
