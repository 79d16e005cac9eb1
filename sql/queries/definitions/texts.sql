-- definitions/texts: the two files of each dataset that is defined in the database, in the version in use.
select distinct on (definition.name)
    definition.name,
    definition.version,
    definition.suite,
    definition.table_sql
from ledger.dataset_definition as definition
where definition.dropped_at is null
order by definition.name asc, definition.version desc
