-- The record cannot be where it is.
-- code: wrong_rank
-- column: parent
-- expects: Each record is of a kind that comes after its parent's.
-- hint: Give the record another parent, or correct its kind or its parent's.
with pairs as (
    select
        child._row,
        child.id,
        low.kind,
        up._row as above_row,
        up.id as above_id,
        high.kind as above_kind
    from edges as child
    inner join kinds as low on child.number = low.number
    inner join edges as up on child.above = up.number
    inner join kinds as high on child.above = high.number
    cross join rules
    where
        child.above != child.number
        and (child._row is not null or up._row is not null)
        and case when rules.strict_ranks then low.rank != high.rank + 1 else low.rank <= high.rank end
),

-- of a record of the file, its children in the warehouse
families as (
    select
        pairs.above_row,
        any_value(pairs.above_id) as above_id,
        any_value(pairs.above_kind) as above_kind,
        arg_min(pairs.id, pairs.id) as id,
        arg_min(pairs.kind, pairs.id) as kind,
        count(*) as records
    from pairs
    where pairs._row is null
    group by pairs.above_row
),

said as (
    select
        array_to_string(rules.ranks, ', ')
        || case when rules.strict_ranks then ', and none may be left out' else '' end as wanted
    from rules
)

select
    pairs._row,
    names.parent as "column",
    pairs.above_id as value,
    'The record is of the kind "' || pairs.kind || '", and its parent ' || left(pairs.above_id, 200)
    || ' is of the kind "' || pairs.above_kind || '". The order is ' || said.wanted || '.' as message,
    case when pairs.above_row is null then []::varchar[] else [pairs.above_row::varchar] end as related
from pairs
cross join said
cross join names
where pairs._row is not null

union all

select
    families.above_row,
    rules.rank_column as "column",
    families.above_kind as value,
    'The record is of the kind "' || families.above_kind || '", and its child ' || left(families.id, 200)
    || ' in the warehouse is of the kind "' || families.kind || '". The order is ' || said.wanted || '.'
    || case
        when families.records > 1 then format(' {:,} of its children are not in order.', families.records) else ''
    end as message,
    []::varchar[] as related
from families
cross join said
cross join rules

union all

select
    edges._row,
    names.parent as "column",
    null as value,
    'The record is a root of the kind "' || kinds.kind || '"; a root must be of the kind "' || rules.ranks[1] || '".' as message,
    []::varchar[] as related
from edges
inner join kinds on edges.number = kinds.number
cross join rules
cross join names
where rules.strict_ranks and edges._row is not null and edges.parent is null and kinds.rank > 1
