-- The record is a descendant of a cycle: {path}.
-- code: below_cycle
-- severity: warning
-- column: parent
-- expects: No record is a descendant of a cycle.
-- hint: Correct the cycle; this record needs no change.
select
    below_cycles._row,
    nodes.parent as value,
    case
        when cycles.length > 10
            then array_to_string(cycles.path[1:3], ' → ') || ' → … → ' || cycles.path[-1]
        else array_to_string(cycles.path, ' → ')
    end as path,
    cycles.rows[1:3] as related
from below_cycles
inner join cycles on below_cycles.cycle = cycles.cycle
inner join nodes on below_cycles._row = nodes._row
where below_cycles._row != cycles._row
