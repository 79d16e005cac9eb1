-- imports/retries: the imports that try the failed records of another one again.
select import.id::text as id
from ledger.import
where import.retry_of = :import_id
order by import.created_at
