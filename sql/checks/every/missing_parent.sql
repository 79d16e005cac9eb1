-- The parent {value} is neither in the file nor in the warehouse.
-- code: missing_parent
-- column: parent
-- hint: Add the parent to the file, or correct its spelling.
with orphans as (
    select
        nodes._row,
        nodes.parent
    from nodes
    anti join nodes as parents on nodes.parent = parents.id
    anti join warehouse_edges on nodes.parent = warehouse_edges.id
    where nodes.parent is not null
),

alike as (
    select
        orphans.parent,
        min(nodes.id) as id
    from (select distinct parent from orphans) as orphans
    inner join nodes on lower(trim(orphans.parent)) = lower(trim(nodes.id))
    group by orphans.parent
)

select
    orphans._row,
    orphans.parent as value,
    case when alike.id is not null then 'Did you mean ' || alike.id || '?' end as hint
from orphans
left join alike on orphans.parent = alike.parent
