-- numbers/leaves: records without children: roots, and the children of these records, at most so many.
(
    select
        target.{key} as id,
        cast(null as text) as parent
    from {table} as target
    where
        target.{parent} is null
        and not exists (select from {table} as below where below.{parent} = target.{key})
    order by target.{key}
    limit :most
)
union all
(
    select
        target.{key} as id,
        target.{parent} as parent
    from {table} as target
    where
        target.{parent} = any(cast(:parents as text[]))
        and not exists (select from {table} as below where below.{parent} = target.{key})
    order by target.{parent}, target.{key}
    limit :most
)
