-- deliveries/is_noted: whether it is noted who is told of this end of an import.
select import.id
from ledger.import
where
    import.id = :import_id
    and import.notified = :state
