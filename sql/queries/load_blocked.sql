-- load_blocked: records that hang below a refused one in the tree that would result. The part's edges go over the warehouse's;
-- what is above a record of this import was loaded before it, so the ways up that are there now are those of the result.
with recursive up as (
    select distinct
        {parent} as start,
        {parent} as node
    from arriving
    where _place >= %(first)s and _place < %(last)s and {parent} is not null

    union

    select
        up.start,
        case when arriving.{key} is not null then arriving.{parent} else target.{parent} end as node
    from up
    left join arriving on up.node = arriving.{key}
    left join {table} as target on up.node = target.{key}
    where not exists (
        select 1
        from ledger.failure
        where
            failure.import_id = %(import_id)s
            and hashtextextended(failure.id, 0) = hashtextextended(up.node, 0)
            and failure.id = up.node
            and failure.part_no > 0
    )
),

blocked as (
    select
        up.start,
        min(up.node) as ancestor
    from up
    inner join ledger.failure
        on
            hashtextextended(up.node, 0) = hashtextextended(failure.id, 0)
            and up.node = failure.id
            and failure.import_id = %(import_id)s
            and failure.part_no > 0
    group by up.start
)

select
    arriving._place,
    blocked.ancestor
from arriving
inner join blocked on arriving.{parent} = blocked.start
where arriving._place >= %(first)s and arriving._place < %(last)s
order by arriving._place
