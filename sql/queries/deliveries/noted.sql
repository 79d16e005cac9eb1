-- deliveries/noted: it is noted who is told of this end of an import.
update ledger.import
set notified = state
where
    id = :import_id
    and state = :state
