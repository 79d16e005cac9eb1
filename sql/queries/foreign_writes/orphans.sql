-- foreign_writes/orphans: positions of records whose parent was removed: it is neither in the warehouse nor in the same part.
select
    child._place,
    child.{parent} as parent
from arriving as child
where
    child._place >= %(first)s
    and child._place < %(last)s
    and child.{parent} is not null
    and not exists (select from {table} as target where target.{key} = child.{parent})
    and not exists (select from arriving as sibling where sibling.{key} = child.{parent})
order by child._place
