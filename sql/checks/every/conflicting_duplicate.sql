-- ID {value} appears {length} with different data.
-- code: conflicting_duplicate
-- column: key
-- expects: No ID appears more than once with different data.
-- hint: Keep the correct row, or give the other record its own ID.
select
    duplicates._row,
    duplicates.id as value,
    case when duplicates.copies = 2 then 'twice' else format('{:,} times', duplicates.copies) end as length,
    duplicates.others as related
from duplicates
where not duplicates.alike
