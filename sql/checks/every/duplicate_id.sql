-- ID {value} appears {length} with the same data.
-- code: duplicate_id
-- column: key
-- expects: No record appears twice.
-- hint: Keep one of these rows.
select
    duplicates._row,
    duplicates.id as value,
    case when duplicates.copies = 2 then 'twice' else format('{:,} times', duplicates.copies) end as length,
    duplicates.others as related,
    case
        when names.ids_made_of is not null
            then format('Keep one of these rows: both name the same {}, and nothing else differs.', names.ids_made_of)
    end as hint
from duplicates, names
where duplicates.alike and duplicates.place > 1
