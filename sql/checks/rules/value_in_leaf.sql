-- The record has no children, but a value in {path}, which only records with children may have.
-- code: value_in_leaf
-- expects: Only records with children have a value in the columns that the dataset declares for them.
-- hint: Remove the value, or add the record's children.
select
    edges._row,
    filled."column",
    filled."column" as path,
    null as value,
    null as message
from filled
anti join branches on filled.number = branches.number
inner join edges on filled.number = edges.number
where not filled.is_for_leaves and edges._row is not null

union all

-- a record of the warehouse that loses its last child by the file
select
    moves._row,
    names.parent as "column",
    filled."column" as path,
    left_one.id as value,
    'The record is moved away from ' || left(left_one.id, 200) || ', which then has no children, but a value in '
    || filled."column" || ', which only records with children may have.' as message
from filled
anti join branches on filled.number = branches.number
inner join edges as left_one on filled.number = left_one.number
inner join moves on left_one.id = moves.left_parent
cross join names
where not filled.is_for_leaves and left_one._row is null
