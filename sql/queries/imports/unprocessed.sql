-- imports/unprocessed: how many of an import's records are in no part that was loaded.
select import.records_total - coalesce(sum(part.inserted + part.updated + part.unchanged + part.failed), 0) as records
from ledger.import
left join ledger.part on import.id = part.import_id
where import.id = :id
group by import.id
