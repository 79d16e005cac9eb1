-- The record {value} is its own ancestor: {path}.
-- code: circular_reference
-- column: parent
-- hint: One of the records in the circle needs another parent, or none.
select
    cycles._row,
    cycles.path[1] as value,
    array_to_string(cycles.path, ' → ') as path,
    cycles.rows as related,
    cycles.path as cycle
from cycles
