-- edges/of_ids: the edges that a file asks for, each once; UNION ends the paths up and down even on a cycle. A step is an
-- index lookup (OFFSET keeps the planner from a join, which would read the whole table on each level).
-- above: up to the roots; below: the file's own ids and, of those that move or are new, all their descendants.
-- around: the file's own ids, their children, and, of those that move, the parent that they leave, with its other children.
with recursive left_parents as (
    select distinct target.{parent} as id
    from wanted
    inner join {table} as target on wanted.id = target.{key}
    where wanted.what = 'around' and target.{parent} is distinct from wanted.parent and target.{parent} is not null
),

above as (
    select
        target.{key} as id,
        target.{parent} as parent
    from {table} as target
    inner join wanted on target.{key} = wanted.id
    where wanted.what = 'above'

    union

    select
        target.{key} as id,
        target.{parent} as parent
    from {table} as target
    inner join left_parents on target.{key} = left_parents.id

    union

    select
        target.{key} as id,
        target.{parent} as parent
    from above
    cross join lateral (
        select
            stepped.{key},
            stepped.{parent}
        from {table} as stepped
        where stepped.{key} = above.parent
        offset 0 -- noqa: AM09
    ) as target
),

below as (
    select wanted.id
    from wanted
    left join {table} as target on wanted.id = target.{key}
    where wanted.what = 'below' and (target.{key} is null or target.{parent} is distinct from wanted.parent)

    union

    select target.{key} as id
    from below
    cross join lateral (
        select stepped.{key}
        from {table} as stepped
        where stepped.{parent} = below.id
        offset 0 -- noqa: AM09
    ) as target
)

select
    above.id,
    above.parent
from above

union

select
    target.{key} as id,
    target.{parent} as parent
from wanted
inner join {table} as target on wanted.id = target.{key}
where wanted.what in ('below', 'around')

union

select
    target.{key} as id,
    target.{parent} as parent
from below
inner join {table} as target on below.id = target.{key}

union

select
    target.{key} as id,
    target.{parent} as parent
from wanted
inner join {table} as target on wanted.id = target.{parent}
where wanted.what in ('children', 'around')

union

select
    target.{key} as id,
    target.{parent} as parent
from left_parents
inner join {table} as target on left_parents.id = target.{parent}

union

select
    target.{key} as id,
    target.{parent} as parent
from {table} as target
where target.{parent} is null and exists (select 1 from wanted where wanted.what = 'roots')
