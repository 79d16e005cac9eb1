-- The record {value} is its own parent.
-- code: self_parent
-- column: parent
-- expects: No record is its own parent.
-- hint: Leave the parent empty if the record is a root, or enter the correct parent ID.
select
    nodes._row,
    nodes.parent as value,
    case
        when not exists (select links._row from links where links.parent is null)
            then
                'No record lacks a parent. If roots name themselves as their parent here: no_parent_values={id}.'
                || ' If not, leave the parent empty, or enter the correct parent ID.'
    end as hint
from nodes
where nodes.id = nodes.parent
