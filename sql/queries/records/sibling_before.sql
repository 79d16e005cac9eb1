-- records/sibling_before: the record before another among the children of a parent, or the roots, by the index of the parent.
select found.* -- noqa: AM04
from (
    (
        select target.*
        from {table} as target
        where target.{parent} = :parent and target.{key} < :id
        order by target.{key} desc
        limit 1
    )
    union all
    (
        select target.*
        from {table} as target
        where cast(:parent as text) is null and target.{parent} is null and target.{key} < :id
        order by target.{key} desc
        limit 1
    )
) as found
