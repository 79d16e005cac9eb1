-- findings/discard: delete an import's findings.
delete from ledger.finding
where finding.import_id = :import_id
