-- load/blocked: the paths upwards from the parents of some records, in the tree that would result: each id on them once, with its
-- parent, whether it has failed, and the places of its children among those records. No rows if none has failed. The part's edges
-- override the warehouse's; the ancestors of a record are loaded before it, so the paths that are there now are those of the
-- result. A path ends at a failed record, or at one that this import has written: no ancestor of that one has failed.
with recursive above as (
    select distinct arriving.{parent} as node
    from arriving
    where arriving._place >= %(first)s and arriving._place < %(last)s and arriving.{parent} is not null

    union

    select case when arriving.{key} is not null then arriving.{parent} else target.{parent} end as node
    from above
    left join arriving on above.node = arriving.{key}
    left join lateral (
        select
            stepped.{parent},
            stepped._import_id
        from {table} as stepped
        where stepped.{key} = above.node
        offset 0 -- noqa: AM09
    ) as target on true
    where
        target._import_id is distinct from %(import_id)s
        and not exists (
            select 1
            from ledger.failure
            where
                failure.import_id = %(import_id)s
                and hashtextextended(failure.id, 0) = hashtextextended(above.node, 0)
                and failure.id = above.node
                and failure.part_no > 0
        )
),

refused as (
    select distinct failure.id
    from above
    inner join ledger.failure
        on
            hashtextextended(above.node, 0) = hashtextextended(failure.id, 0)
            and above.node = failure.id
            and failure.import_id = %(import_id)s
            and failure.part_no > 0
),

children as (
    select
        arriving.{parent} as node,
        array_agg(arriving._place) as places
    from arriving
    where arriving._place >= %(first)s and arriving._place < %(last)s and arriving.{parent} is not null
    group by arriving.{parent}
)

select
    above.node,
    case when arriving.{key} is not null then arriving.{parent} else target.{parent} end as next,
    faults.id is not null as is_refused,
    coalesce(children.places, '{{}}') as places
from above
left join arriving on above.node = arriving.{key}
left join {table} as target on above.node = target.{key}
left join refused as faults on above.node = faults.id
left join children on above.node = children.node
where above.node is not null and exists (select 1 from refused)
