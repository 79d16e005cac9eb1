-- gx/circular_reference: the loaded records that cannot be reached from a root, or from a record whose parent is missing.
with recursive loaded as not materialized (
    select * from {batch}
),

reached as (
    select top.{key} as id
    from loaded as top
    where
        not exists (
            select 1 from loaded as above
            where above.{key} = top.{parent}
        )
    union all
    select child.{key} as id
    from loaded as child
    inner join reached on child.{parent} = reached.id
)

select record.{key} as id
from loaded as record
where not exists (
    select 1 from reached
    where reached.id = record.{key}
)
