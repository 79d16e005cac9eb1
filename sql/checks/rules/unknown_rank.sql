-- The kind "{value}" is unknown; possible are {limit}.
-- code: unknown_rank
-- expects: Each record is of one of the kinds that the dataset declares.
-- hint: Write the kind exactly as declared, or add it to the dataset's ranks.
select
    edges._row,
    kinds.kind as value,
    array_to_string(rules.ranks, ', ') as "limit",
    rules.rank_column as "column",
    case
        when kinds.kind is null
            then
                'The record has no ' || rules.rank_column || '; possible are '
                || array_to_string(rules.ranks, ', ') || '.'
    end as message
from edges
inner join kinds on edges.number = kinds.number
cross join rules
where edges._row is not null and kinds.rank is null
