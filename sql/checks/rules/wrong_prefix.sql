-- The ID {value} does not begin with "{path}", as its parent says.
-- code: wrong_prefix
-- column: key
-- expects: Each ID begins with the ID of its parent.
-- hint: Correct the ID, or give the record the parent that its ID names.
select
    edges._row,
    edges.id as value,
    left(edges.parent, 200) || rules.prefix_separator as path,
    case when edges.above > 0 then [edges.above::varchar] else []::varchar[] end as related
from edges
cross join rules
where
    edges._row is not null
    and edges.above is not null
    and edges.above != edges.number
    and not (
        starts_with(edges.id, edges.parent || rules.prefix_separator)
        and strlen(edges.id) > strlen(edges.parent || rules.prefix_separator)
    )
