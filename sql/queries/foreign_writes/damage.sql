-- foreign_writes/damage: of an import's records, how many exist, how many have no parent, and how many cannot be reached from a
-- root or an orphan: those are on a cycle or below one. A cycle is never reached from above it, so the recursion ends.
with recursive reached as (
    select
        top.{key} as id,
        top._import_id = %(import_id)s as is_own,
        top.{parent} is not null as is_orphan
    from {table} as top
    where top.{parent} is null or not exists (select from {table} as parent where parent.{key} = top.{parent})

    union all

    select
        child.{key} as id,
        child._import_id = %(import_id)s as is_own,
        false as is_orphan
    from reached
    inner join {table} as child on reached.id = child.{parent}
),

present as (
    select count(*) as records
    from {table} as target
    where target._import_id = %(import_id)s
)

select
    present.records as present,
    count(*) filter (where reached.is_own and reached.is_orphan) as orphans,
    present.records - count(*) filter (where reached.is_own) as on_cycles
from present
left join reached on true
group by present.records
