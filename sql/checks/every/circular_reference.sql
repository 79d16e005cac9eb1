-- The record {value} is its own ancestor, in a cycle of {length} records: {path}.
-- code: circular_reference
-- column: parent
-- expects: No record is its own ancestor, in the file and the warehouse together.
-- hint: Give one record of the cycle another parent, or none.
-- loaded_expects: No record is its own ancestor.
with ours as (
    select distinct cycle_rows.cycle
    from cycle_rows
),

below as (
    select
        below_cycles.cycle,
        min(below_cycles._row, 50)::varchar[] as rows
    from below_cycles
    group by below_cycles.cycle
)

select
    cycles._row,
    cycles.path[1] as value,
    cycles.length,
    case
        when cycles.length > 10
            then array_to_string(cycles.path[1:5], ' → ') || ' → … → ' || array_to_string(cycles.path[-3:], ' → ')
        else array_to_string(cycles.path, ' → ')
    end as path,
    case when ours.cycle is null then below.rows else cycles.rows end as related,
    cycles.path as cycle,
    case
        when ours.cycle is null
            then format(
                'The record is a descendant of a cycle of {:,} records in the warehouse: {}.',
                cycles.length,
                case
                    when cycles.length > 10
                        then array_to_string(cycles.path[1:3], ' → ') || ' → … → ' || cycles.path[-1]
                    else array_to_string(cycles.path, ' → ')
                end
            )
    end as message,
    case
        when len(cycles.old) > 0
            then
                'In the warehouse: '
                || array_to_string(cycles.old, ', ')
                || '. Give one record of the cycle another parent, or none.'
    end as hint
from cycles
left join ours on cycles.cycle = ours.cycle
left join below on cycles.cycle = below.cycle
where cycles._row is not null
