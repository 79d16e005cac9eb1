-- load/arriving: the part's records before they are merged; _place is their order, parents first.
create temporary table arriving on commit drop as
select
    0::integer as _place,
    0::bigint as _row,
    {columns}
from {table}
with no data
