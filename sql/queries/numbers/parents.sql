-- numbers/parents: the records that have children, each with how many and with its own parent. Of a parent that another client
-- has removed, is_there is false.
create temporary table bulkhead_parents on commit drop as
select
    counted.id,
    target.{parent} as parent,
    counted.children,
    target.{key} is not null as is_there
from (
    select
        below.{parent} as id,
        count(*) as children
    from {table} as below
    where below.{parent} is not null
    group by below.{parent}
) as counted
left join {table} as target on counted.id = target.{key}
