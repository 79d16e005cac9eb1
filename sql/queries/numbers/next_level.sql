-- numbers/next_level: the records with children one level below :depth.
insert into pg_temp.bulkhead_levels (id, parent, children, depth)
select
    parents.id,
    parents.parent,
    parents.children,
    levels.depth + 1 as depth
from pg_temp.bulkhead_levels as levels
inner join pg_temp.bulkhead_parents as parents on levels.id = parents.parent
where levels.depth = :depth
