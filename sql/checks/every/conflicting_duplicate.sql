-- The id {value} stands in the file more than once, with different contents.
-- code: conflicting_duplicate
-- column: key
-- expects: No two records with the same id say different things.
-- hint: Keep the row that is right, or give the other one an id of its own.
select
    duplicates._row,
    duplicates.id as value,
    duplicates.others as related
from duplicates
where not duplicates.alike
