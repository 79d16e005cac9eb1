-- failure_columns: the names of the columns that an import's failed records have.
select distinct jsonb_object_keys(failure.record) as name
from ledger.failure
where failure.import_id = :import_id
order by name
