-- numbers/totals: how many records a table has, and how many of them are roots.
select
    count(*) as records,
    count(*) filter (where target.{parent} is null) as roots
from {table} as target
