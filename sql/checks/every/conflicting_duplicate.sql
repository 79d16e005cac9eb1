-- ID {value} appears {length} with different data.
-- code: conflicting_duplicate
-- column: key
-- expects: No ID appears more than once with different data.
-- hint: Keep the correct row, or give the other record its own ID.
select
    duplicates._row,
    duplicates.id as value,
    case when duplicates.copies = 2 then 'twice' else format('{:,} times', duplicates.copies) end as length,
    duplicates.others as related,
    case
        when names.ids_made_of is not null
            then
                format(
                    'The id is made of {}. Keep one row for each; or, if they are records of their own, name the column with'
                    ' their ids: "id" in the shape.',
                    names.ids_made_of
                )
    end as hint
from duplicates, names
where not duplicates.alike
