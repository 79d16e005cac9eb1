-- imports/lock: lock an import's row until the transaction ends, so that two moves cannot cross.
select
    import.state,
    import.cancel_requested_at,
    import.taken_up_at,
    import.options,
    import.dataset
from ledger.import
where import.id = :id
for update
