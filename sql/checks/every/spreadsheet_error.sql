-- The ID {value} is an error of a spreadsheet, saved as text.
-- code: spreadsheet_error
-- column: key
-- expects: No ID is an error of a spreadsheet, such as #REF!.
-- hint: Correct the formula, or widen a column that shows only #####, and save the file again.
select
    nodes._row,
    nodes.id as value
from nodes
where
    nodes.id >= '#' and nodes.id < '$'
    and regexp_full_match(
        upper(nodes.id),
        '#{3,}|#(N/?A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|SPILL!|CALC!|ERROR!|FIELD!|BLOCKED!|CONNECT!|BUSY!|GETTING_DATA)'
    )
