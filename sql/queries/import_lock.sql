-- import_lock: an import's state, held until the transaction ends, so that two moves cannot cross.
select import.state
from ledger.import
where import.id = :id
for update
