-- records/roots: a page of the records without a parent, by id.
select target.* -- noqa: AM04
from {table} as target
where
    target.{parent} is null
    and target.{key} > :after
order by target.{key}
limit :limit
