-- records/children_counts: how many children each of some records has, counted in the parent's index alone and, unless
-- :most is null, no further than that. In the index's order, since a bitmap of it would be made of all of them first.
select
    wanted.id,
    (
        select count(*)
        from (
            select below.{key}
            from {table} as below
            where below.{parent} = wanted.id
            order by below.{key}
            limit cast(:most as bigint)
        ) as counted
    ) as children
from unnest(cast(:ids as text[])) as wanted (id)
