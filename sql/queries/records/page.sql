-- records/page: a page of all records by id, after the last one seen.
select target.* -- noqa: AM04
from {table} as target
where target.{key} > :after
order by target.{key}
limit :limit
