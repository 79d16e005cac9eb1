-- load/insert_new: the records that the table does not have; who else inserts one of them meanwhile makes this fail (23505).
insert into {table} ({columns}, _import_id, _row)
select {values}, %(import_id)s::uuid, arriving._row
from arriving
where not exists (select from {table} as target where target.{key} = arriving.{key})
order by arriving.{key}
