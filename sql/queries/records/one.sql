-- records/one: one record, by the primary key.
select target.* -- noqa: AM04
from {table} as target
where target.{key} = :id
