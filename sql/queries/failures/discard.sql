-- failures/discard: delete an import's failed records; the rows of its parts keep their number.
delete from ledger.failure
where failure.import_id = :import_id
