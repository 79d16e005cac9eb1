-- imports/retries: the imports that retry the records of another one.
select import.id::text as id
from ledger.import
where import.retry_of = :import_id
order by import.created_at
