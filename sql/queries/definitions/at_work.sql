-- definitions/at_work: imports of a dataset that were validated by its definition or are being, and are not over.
select import.id::text as id
from ledger.import
where import.dataset = :dataset and import.state in ('validating', 'preparing', 'loading', 'paused')
order by import.id
