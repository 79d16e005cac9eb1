-- gx/missing_parent: the loaded records whose parent is not loaded.
with loaded as not materialized (
    select * from {batch}
)

select
    child.{key} as id,
    child.{parent} as parent
from loaded as child
where
    child.{parent} is not null
    and not exists (
        select 1 from loaded as above
        where above.{key} = child.{parent}
    )
