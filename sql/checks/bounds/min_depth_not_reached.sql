-- The record has no children and is on level {length}; a record without children is on level {limit} or deeper.
-- code: min_depth_not_reached
-- column: parent
-- expects: No record without children is closer to the root than the dataset allows.
-- hint: Add the levels that are missing, or give the record children.
select
    shallow._row,
    edges.parent as value,
    shallow.depth as length,
    bounds.min_depth as "limit",
    case
        when shallow.id is not null
            then
                'Because of this record, ' || left(shallow.id, 200) || ' in the warehouse would be on level ' || shallow.depth
                || ' without children; a record without children is on level ' || bounds.min_depth || ' or deeper.'
                || case
                    when shallow.records > 1 then format(' {:,} records would be too close to the root.', shallow.records)
                    else ''
                end
    end as message
from shallow
inner join edges on shallow._row = edges.number
cross join bounds
