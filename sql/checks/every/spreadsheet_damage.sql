-- ID {value} looks changed by a spreadsheet: rounded, or made a date.
-- code: spreadsheet_damage
-- severity: warning
-- column: key
-- expects: No ID was rounded or made a date by a spreadsheet.
-- hint: Format the column as text before entering IDs: it keeps 15 digits, shows 11, and makes dates of MARCH1 and 1-2.
-- loaded_hint: Compare the ID with its source. If it was changed, load the record again with the right one.
with long_numbers as (
    select
        nodes._row,
        nodes.id
    from nodes
    where length(nodes.id) >= 16 and regexp_full_match(nodes.id, '[0-9]+')
),

-- of numbers that were not rounded, one in ten ends with a zero
rounded as (
    select count(*) >= 3 and count(*) filter (where long_numbers.id like '%0') > 0.9 * count(*) as found
    from long_numbers
)

-- 1-Mar, 01. Mrz and Mar-01 are days and months, in English, German and French, of the genes MARCH1 and DEC1, for instance
select
    nodes._row,
    nodes.id as value
from nodes
where
    (
        contains(nodes.id, 'E+')
        or (nodes.id < 'A' and (nodes.id like '_-___%' or nodes.id like '__-___%' or nodes.id like '_.%' or nodes.id like '__.%'))
        or (nodes.id >= 'A' and (nodes.id like '___-__' or nodes.id like '___.__'))
    )
    and regexp_full_match(
        nodes.id,
        '[0-9](\.[0-9]+)?E\+[0-9]+'
        || '|[0-9]{1,2}(-|\. ?)(?i:jan|feb|mar|mrz|apr|may|mai|jun|jul|aug|sept?|oct|okt|nov|dec|dez'
        || '|janv|févr|mars|avr|juin|juil|août|déc)\.?'
        || '|(?i:jan|feb|mar|mrz|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[-.][0-9]{2}'
    )

union all

select
    long_numbers._row,
    long_numbers.id as value
from long_numbers
where long_numbers.id like '%0' and (select rounded.found from rounded)
