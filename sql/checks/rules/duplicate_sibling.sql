-- Another record below the same parent has "{value}" too: {path}.
-- code: duplicate_sibling
-- expects: No two records below one parent have the same values in the columns that the dataset declares.
-- hint: If they are one record, keep one of them. If not, give one of them another value.
with siblings as (
    select
        edges.number,
        edges._row,
        edges.id,
        edges.above,
        sibling_values.value,
        sibling_values.compared
    from edges
    inner join sibling_values on edges.number = sibling_values.number
    where edges.above is distinct from edges.number and (edges.above is not null or edges.parent is null)
),

crowded as (
    select
        siblings.above,
        siblings.compared
    from siblings
    group by siblings.above, siblings.compared
    having count(*) > 1 and count(siblings._row) > 0
),

members as (
    select
        siblings._row,
        siblings.above,
        siblings.value,
        first_value(siblings.id) over same as first_id,
        first_value(siblings._row) over same as first_row,
        row_number() over same as place
    from siblings
    inner join crowded
        on siblings.compared = crowded.compared and siblings.above is not distinct from crowded.above
    window same as (
        partition by siblings.above, siblings.compared
        order by siblings._row nulls first, siblings.id
    )
)

-- records of the warehouse come first
select
    members._row,
    members.value,
    left(members.first_id, 200) as path,
    rules.sibling_columns[1] as "column",
    case
        when members.above is null
            then
                'Another root has "' || left(members.value, 200) || '" in ' || array_to_string(rules.sibling_columns, ', ')
                || ' too: ' || left(members.first_id, 200) || '.'
        else
            'Another record below the same parent has "' || left(members.value, 200) || '" in '
            || array_to_string(rules.sibling_columns, ', ') || ' too: ' || left(members.first_id, 200) || '.'
    end as message,
    case when members.first_row is null then []::varchar[] else [members.first_row::varchar] end as related
from members
cross join rules
where members._row is not null and members.place > 1
