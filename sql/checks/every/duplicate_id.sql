-- The record {value} stands in the file more than once, each time the same.
-- code: duplicate_id
-- column: key
-- hint: Keep one of the equal rows.
with alike as (
    select
        duplicates.id,
        min(duplicates._row) as first_row,
        list(duplicates._row order by duplicates._row) as rows
    from duplicates
    group by duplicates.id
    having count(distinct duplicates.digest) = 1
)

select
    duplicates._row,
    duplicates.id as value,
    list_transform(list_filter(alike.rows[1:20], lambda one: one != duplicates._row), lambda one: one::varchar) as related
from duplicates
inner join alike on duplicates.id = alike.id
where duplicates._row != alike.first_row
