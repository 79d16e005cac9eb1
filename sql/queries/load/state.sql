-- load/state: the state of a part's import.
select import.state
from ledger.import
where import.id = %(import_id)s
