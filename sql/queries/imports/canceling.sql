-- imports/canceling: whether an import's cancellation was requested.
select import.cancel_requested_at is not null as canceling
from ledger.import
where import.id = :id
