-- The record {value} would have {length} children; at most {limit} are allowed.
-- code: max_children_exceeded
-- column: parent
-- expects: No record has more children than the dataset allows.
-- hint: Move some of its children to another parent.
with families as (
    select
        crowds.number,
        crowds.children,
        min(edges._row) as first_row,
        min(edges._row, 50)::varchar[] as rows
    from crowds
    inner join edges on crowds.number = edges.above
    where edges.above != edges.number
    group by crowds.number, crowds.children
)

select
    coalesce(parents._row, families.first_row) as _row,
    parents.id as value,
    families.children as length,
    bounds.max_children as "limit",
    case when parents._row is null then names.parent else names.key end as "column",
    coalesce(families.rows, []) as related
from families
inner join edges as parents on families.number = parents.number
cross join bounds
cross join names
where coalesce(parents._row, families.first_row) is not null
