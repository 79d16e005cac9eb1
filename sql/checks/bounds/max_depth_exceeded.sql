-- The record is on level {length}; at most {limit} are allowed.
-- code: max_depth_exceeded
-- column: parent
-- expects: No record is deeper in the tree than the dataset allows.
-- hint: Move the record, or one of its ancestors, closer to the root.
select
    edges._row,
    edges.parent as value,
    depths.depth as length,
    bounds.max_depth as "limit",
    null as message
from edges
inner join depths on edges.number = depths.number
cross join bounds
where edges._row is not null and depths.depth > bounds.max_depth

union all

select
    pushed._row,
    edges.parent as value,
    pushed.depth as length,
    bounds.max_depth as "limit",
    'The record moves its descendant ' || left(pushed.id, 200) || ' in the warehouse to level ' || pushed.depth
    || '; at most ' || bounds.max_depth || ' are allowed.'
    || case when pushed.records > 1 then format(' {:,} records would be too deep.', pushed.records) else '' end as message
from pushed
inner join edges on pushed._row = edges.number
cross join bounds
