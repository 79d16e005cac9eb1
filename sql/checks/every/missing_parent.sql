-- The parent {value} is neither in the file nor in the warehouse.
-- code: missing_parent
-- column: parent
-- expects: Every parent is in the file or in the warehouse.
-- hint: Add the parent to the file, or correct its spelling.
select
    orphans._row,
    orphans.parent as value,
    case
        when missing.alike is not null or missing.records > 1
            then
                coalesce('Did you mean ' || missing.alike || '?', 'Add the parent to the file, or correct its spelling.')
                || case
                    when missing.records > 1
                        then format(' {:,} records of the file hang below it.', missing.records)
                    else ''
                end
    end as hint
from orphans
inner join missing on orphans.parent = missing.parent
