-- load/state: where the import of a part stands.
select import.state
from ledger.import
where import.id = %(import_id)s
