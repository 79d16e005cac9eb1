-- records_children_counts: how many children each of some records has; counted in the parent's index alone.
select
    wanted.id,
    (
        select count(*)
        from {table} as below
        where below.{parent} = wanted.id
    ) as children
from unnest(cast(:ids as text[])) as wanted (id)
