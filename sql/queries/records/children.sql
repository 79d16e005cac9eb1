-- records/children: a page of a record's children by id, each with whether it has children itself.
select
    target.*, -- noqa: AM04
    exists(
        select 1
        from {table} as below
        where below.{parent} = target.{key}
    ) as _has_children
from {table} as target
where
    target.{parent} = :parent
    and target.{key} > :after
order by target.{key}
limit :limit
