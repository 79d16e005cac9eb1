-- imports/active: the imports in their datasets' queues.
select import.id::text as id
from ledger.import
where import.state in ('queued', 'validating', 'preparing', 'loading', 'paused')
