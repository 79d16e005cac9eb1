-- records_children_counts: how many children each of some records has, counted in the parent's index alone and, unless
-- :most is null, no further than that.
select
    wanted.id,
    (
        select count(*)
        from (
            select 1
            from {table} as below
            where below.{parent} = wanted.id
            limit cast(:most as bigint) -- noqa: AM09
        ) as counted
    ) as children
from unnest(cast(:ids as text[])) as wanted (id)
