-- The record {value} stands in the file more than once, each time the same.
-- code: duplicate_id
-- column: key
-- expects: No record stands in the file twice.
-- hint: Keep one of the equal rows.
select
    duplicates._row,
    duplicates.id as value,
    duplicates.others as related
from duplicates
where duplicates.alike and duplicates.place > 1
