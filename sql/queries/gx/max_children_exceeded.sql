-- gx/max_children_exceeded: the loaded records with too many children.
with loaded as not materialized (
    select * from {batch}
)

select
    child.{parent} as id,
    count(*) as children
from loaded as child
where child.{parent} is not null
group by child.{parent}
having count(*) > {most}
