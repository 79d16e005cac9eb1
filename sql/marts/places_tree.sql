-- places_tree: every place with its depth (a root has 0), its path of ids from the root, and the number of its children.
-- materialized: true
-- unique: id
-- Depth and path are computed for 20 levels, the maximum depth of the dataset, and are null for places below, which only
-- another client can have written. Without a limit, paths would cost the square of the depth and the recursion a round a level.
with recursive tree as (
    select
        places.id,
        0 as depth,
        places.id as path
    from warehouse.places
    where places."parentId" is null

    union all

    select
        places.id,
        tree.depth + 1 as depth,
        tree.path || ' > ' || places.id as path
    from warehouse.places
    inner join tree on places."parentId" = tree.id
    where tree.depth < 19
),

children as (
    select
        places."parentId" as id,
        count(*) as children
    from warehouse.places
    where places."parentId" is not null
    group by places."parentId"
)

select
    places.id,
    places."parentId",
    places.name,
    tree.depth,
    tree.path,
    coalesce(children.children, 0) as children
from warehouse.places
left join tree on places.id = tree.id
left join children on places.id = children.id
