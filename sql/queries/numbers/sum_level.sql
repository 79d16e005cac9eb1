-- numbers/sum_level: to each parent of the records with children at :depth, how many records are below these.
insert into pg_temp.bulkhead_below (id, descendants)
select
    levels.parent as id,
    sum(levels.children + coalesce(below.descendants, 0)) as descendants
from pg_temp.bulkhead_levels as levels
left join pg_temp.bulkhead_below as below on levels.id = below.id
where levels.depth = :depth
group by levels.parent
