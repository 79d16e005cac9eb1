-- ID {value} looks rounded by a spreadsheet.
-- code: spreadsheet_damage
-- severity: warning
-- column: key
-- expects: No ID was rounded by a spreadsheet.
-- hint: Format the column as text before entering IDs: a spreadsheet keeps 15 digits of a number and shows 11.
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

select
    nodes._row,
    nodes.id as value
from nodes
where contains(nodes.id, 'E+') and regexp_full_match(nodes.id, '[0-9](\.[0-9]+)?E\+[0-9]+')

union all

select
    long_numbers._row,
    long_numbers.id as value
from long_numbers
where long_numbers.id like '%0' and (select rounded.found from rounded)
