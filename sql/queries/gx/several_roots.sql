-- gx/several_roots: the roots, if there are more than one.
with loaded as not materialized (
    select * from {batch}
)

select root.{key} as id
from loaded as root
where
    root.{parent} is null
    and (select count(*) from loaded as other where other.{parent} is null) > 1
