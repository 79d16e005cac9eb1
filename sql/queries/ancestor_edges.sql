-- ancestor_edges: the edges of the warehouse from the wanted ids up to their roots; UNION ends it even on a cycle.
with recursive above as (
    select
        target.{key} as id,
        target.{parent} as parent
    from {table} as target
    inner join wanted on target.{key} = wanted.id

    union

    select
        target.{key} as id,
        target.{parent} as parent
    from above
    inner join {table} as target on above.parent = target.{key}
)

select
    above.id,
    above.parent
from above
