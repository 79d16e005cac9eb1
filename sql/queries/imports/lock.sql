-- imports/lock: an import's state, held until the transaction ends, so that two moves cannot cross.
select
    import.state,
    import.cancel_requested_at,
    import.taken_up_at,
    import.dataset
from ledger.import
where import.id = :id
for update
