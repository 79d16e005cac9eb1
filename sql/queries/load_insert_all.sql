-- load_insert_all: the records of a part of which the table has none; if it has one after all, this fails (23505).
insert into {table} ({columns}, _import_id, _row)
select {values}, %(import_id)s::uuid, arriving._row
from arriving
order by arriving.{key}
