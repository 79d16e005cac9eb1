-- The record {value} is its own ancestor, in a circle of {length} records: {path}.
-- code: circular_reference
-- column: parent
-- expects: No record is its own ancestor, in the file and the warehouse together.
-- hint: One of the records in the circle needs another parent, or none.
select
    cycles._row,
    cycles.path[1] as value,
    cycles.length,
    case
        when cycles.length > 10
            then array_to_string(cycles.path[1:5], ' → ') || ' → … → ' || array_to_string(cycles.path[-3:], ' → ')
        else array_to_string(cycles.path, ' → ')
    end as path,
    cycles.rows[1:50] as related,
    cycles.path as cycle,
    case
        when len(cycles.old) > 0
            then
                'In the warehouse already: '
                || array_to_string(cycles.old, ', ')
                || '. One of the records in the circle needs another parent, or none.'
    end as hint
from cycles
