-- The record has children, and a value in {path}, which only records without children may have.
-- code: value_in_branch
-- expects: Only records without children have a value in the columns that the dataset declares for them.
-- hint: Remove the value, or give its children another parent.
select
    edges._row,
    filled."column",
    filled."column" as path,
    null as value,
    null as message
from filled
inner join branches on filled.number = branches.number
inner join edges on filled.number = edges.number
where filled.is_for_leaves and edges._row is not null

union all

-- a record of the warehouse that gets its children from the file
select
    moves._row,
    names.parent as "column",
    filled."column" as path,
    up.id as value,
    'The parent ' || left(up.id, 200) || ' is in the warehouse with a value in ' || filled."column"
    || ', which only records without children may have.' as message
from filled
inner join edges as up on filled.number = up.number
inner join edges as child on up.number = child.above
inner join moves on child.number = moves.number
cross join names
where filled.is_for_leaves and up._row is null
