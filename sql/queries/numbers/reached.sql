-- numbers/reached: how many records are children of one that a way from a root leads to.
select coalesce(sum(levels.children), 0)::bigint as reached
from pg_temp.bulkhead_levels as levels
