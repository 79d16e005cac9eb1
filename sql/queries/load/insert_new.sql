-- load/insert_new: insert the records that the table does not have; fails (23505) if another client inserts one of them first.
insert into {table} ({columns}, _import_id, _row)
select {values}, %(import_id)s::uuid, arriving._row
from arriving
where not exists (select from {table} as target where target.{key} = arriving.{key})
order by arriving.{key}
