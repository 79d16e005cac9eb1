-- The record is a root, but {value} is already the root; only one is allowed.
-- code: several_roots
-- column: parent
-- expects: The tree has one root.
-- hint: Give the record a parent.
with roots as (
    select
        edges._row,
        edges.id
    from edges
    where edges.parent is null
),

-- records of the warehouse come before those of the file
firsts as (
    select
        arg_min(roots.id, (roots._row is not null, roots._row, roots.id)) as id,
        first(roots._row order by roots._row nulls first) as _row
    from roots
)

select
    roots._row,
    firsts.id as value
from roots
cross join firsts
where roots._row is not null and roots._row is distinct from firsts._row
