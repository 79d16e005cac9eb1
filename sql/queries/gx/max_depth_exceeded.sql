-- gx/max_depth_exceeded: the loaded records that are too deep; a root has depth 1.
with recursive loaded as not materialized (
    select * from {batch}
),

levels as (
    select
        top.{key} as id,
        1 as depth
    from loaded as top
    where top.{parent} is null
    union all
    select
        child.{key} as id,
        levels.depth + 1 as depth
    from loaded as child
    inner join levels on child.{parent} = levels.id
)

select
    levels.id,
    levels.depth
from levels
where levels.depth > {most}
