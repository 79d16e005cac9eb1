-- The id {value} stands in the file more than once, with different contents.
-- code: conflicting_duplicate
-- column: key
-- hint: Keep the row that is right, or give the other one an id of its own.
with conflicting as (
    select
        duplicates.id,
        list(duplicates._row order by duplicates._row) as rows
    from duplicates
    group by duplicates.id
    having count(distinct duplicates.digest) > 1
)

select
    duplicates._row,
    duplicates.id as value,
    list_transform(list_filter(conflicting.rows[1:20], lambda one: one != duplicates._row), lambda one: one::varchar)
        as related
from duplicates
inner join conflicting on duplicates.id = conflicting.id
