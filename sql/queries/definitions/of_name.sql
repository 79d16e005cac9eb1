-- definitions/of_name: all versions of one definition that is in use, newest first.
select
    definition.version,
    definition.suite,
    definition.table_sql,
    definition.title,
    definition.created_by,
    definition.created_at
from ledger.dataset_definition as definition
where definition.name = :name and definition.dropped_at is null
order by definition.version desc
