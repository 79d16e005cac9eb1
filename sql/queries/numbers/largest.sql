-- numbers/largest: the records with the most descendants, at most so many and so deep, each after its parent, which has
-- more.
select
    levels.id,
    levels.parent,
    levels.depth,
    levels.children,
    (levels.children + coalesce(below.descendants, 0))::bigint as descendants
from pg_temp.bulkhead_levels as levels
left join pg_temp.bulkhead_below as below on levels.id = below.id
where levels.depth < :levels
order by levels.children + coalesce(below.descendants, 0) desc, levels.depth asc, levels.id asc
limit :most
