-- records/children_of: the first children of each of some records, by id, along the index of the parent.
select first_children.* -- noqa: AM04
from unnest(cast(:ids as text[])) as wanted (id)
cross join lateral ( -- noqa: ST05
    select target.*
    from {table} as target
    where target.{parent} = wanted.id
    order by target.{key}
    limit :each
) as first_children
