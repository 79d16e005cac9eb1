-- numbers/top_level: the roots that have children.
insert into pg_temp.bulkhead_levels (id, parent, children, depth)
select
    parents.id,
    null as parent,
    parents.children,
    0 as depth
from pg_temp.bulkhead_parents as parents
where parents.is_there and parents.parent is null
