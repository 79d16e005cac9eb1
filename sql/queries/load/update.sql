-- load/update: update the records that changed; the others are neither locked nor touched.
update {table} as target
set
    {sets},
    _import_id = %(import_id)s::uuid,
    _row = arriving._row,
    _loaded_at = now()
from (select _row, {columns} from arriving order by {key}) as arriving
where target.{key} = arriving.{key} and ({old}) is distinct from ({new})
