-- load_blocked: records that hang below a refused one in the tree that would result. The part's edges go over the warehouse's;
-- what is above a record of this import was loaded before it, so the ways up that are there now are those of the result. They
-- end at a record that this import has written: nothing above it was refused, or it would have been too. First all ways are
-- walked together, each record once; only if a refused one is met, each way is walked by itself.
with recursive starts as (
    select distinct arriving.{parent} as node
    from arriving
    where arriving._place >= %(first)s and arriving._place < %(last)s and arriving.{parent} is not null
),

above as (
    select starts.node
    from starts

    union

    select case when arriving.{key} is not null then arriving.{parent} else target.{parent} end as node
    from above
    left join arriving on above.node = arriving.{key}
    left join {table} as target on above.node = target.{key}
    where
        target._import_id is distinct from %(import_id)s
        and not exists (
            select 1
            from ledger.failure
            where failure.import_id = %(import_id)s and failure.part_no > 0 and failure.id = above.node
        )
),

refused as (
    select above.node
    from above
    inner join ledger.failure on above.node = failure.id and failure.import_id = %(import_id)s and failure.part_no > 0
),

up as (
    select
        starts.node as start,
        starts.node
    from starts
    where exists (select 1 from refused)

    union

    select
        up.start,
        case when arriving.{key} is not null then arriving.{parent} else target.{parent} end as node
    from up
    left join arriving on up.node = arriving.{key}
    left join {table} as target on up.node = target.{key}
    where
        target._import_id is distinct from %(import_id)s
        and not exists (
            select 1
            from ledger.failure
            where failure.import_id = %(import_id)s and failure.part_no > 0 and failure.id = up.node
        )
),

blocked as (
    select
        up.start,
        min(up.node) as ancestor
    from up
    inner join ledger.failure on up.node = failure.id and failure.import_id = %(import_id)s and failure.part_no > 0
    group by up.start
)

select
    arriving._place,
    blocked.ancestor
from arriving
inner join blocked on arriving.{parent} = blocked.start
where arriving._place >= %(first)s and arriving._place < %(last)s
order by arriving._place
