-- load_looks_new: whether none of some 64 records of the part, one here and one there, is in the table.
select not exists (
    select from arriving
    inner join {table} as target on arriving.{key} = target.{key}
    where mod(arriving._place, %(stride)s) = 0
) as looks_new
