-- imports/canceling: whether an import's cancellation was asked for.
select import.cancel_requested_at is not null as canceling
from ledger.import
where import.id = :id
