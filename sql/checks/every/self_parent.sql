-- The record {value} is its own parent.
-- code: self_parent
-- column: parent
-- expects: No record is its own parent.
-- hint: Leave the parent empty if the record is a root, or enter the correct parent ID.
select
    nodes._row,
    nodes.parent as value
from nodes
where nodes.id = nodes.parent
