-- places_tree: every place with its depth (a root has 0), its path of ids from the root, and the number of its children.
-- materialized: true
-- unique: id
with recursive tree as (
    select
        places.id,
        places."parentId",
        places.name,
        0 as depth,
        array[places.id] as path
    from warehouse.places
    where places."parentId" is null

    union all

    select
        places.id,
        places."parentId",
        places.name,
        tree.depth + 1 as depth,
        tree.path || places.id as path
    from warehouse.places
    inner join tree on places."parentId" = tree.id
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
    tree.id,
    tree."parentId",
    tree.name,
    tree.depth,
    array_to_string(tree.path, ' > ') as path,
    coalesce(children.children, 0) as children
from tree
left join children on tree.id = children.id
