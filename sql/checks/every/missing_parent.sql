-- No record has the ID "{value}".
-- code: missing_parent
-- column: parent
-- expects: Every parent is in the file or in the warehouse.
-- hint: Add the parent to the file, or correct the parent ID.
-- loaded_expects: Every parent is loaded.
-- loaded_hint: Load the parent, or load the record again with another parent.
select
    orphans._row,
    orphans.parent as value,
    case
        when missing.hint is not null and missing.alike is null then missing.hint
        when missing.alike is not null or missing.records > 1
            then
                coalesce(
                    missing.hint,
                    'Did you mean ' || missing.alike || '?',
                    'Add the parent to the file, or correct the parent ID.'
                )
                || case
                    when missing.records > 1
                        then format(' {:,} records of the file are its descendants.', missing.records)
                    else ''
                end
    end as hint
from orphans
inner join missing on orphans.parent = missing.parent
