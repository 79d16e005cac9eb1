-- records/some: those of these records that there are, by the primary key.
select target.* -- noqa: AM04
from {table} as target
where target.{key} = any(cast(:ids as text[]))
