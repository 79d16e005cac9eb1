-- failures/discard: forget an import's failed records; its parts go on to say how many there were.
delete from ledger.failure
where failure.import_id = :import_id
