-- records/ancestors: the records above one, nearest first; a step up is a look-up by the primary key.
with recursive above as (
    select
        parent.*,
        1 as _distance
    from {table} as child
    inner join {table} as parent on child.{parent} = parent.{key}
    where child.{key} = :id

    union all

    select
        parent.*,
        above._distance + 1 as _distance
    from above
    inner join {table} as parent on above.{parent} = parent.{key}
    where above._distance < :limit
)

select above.* -- noqa: AM04
from above
order by above._distance
