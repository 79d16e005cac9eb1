-- findings/discard: forget an import's findings, before they are taken in anew.
delete from ledger.finding
where finding.import_id = :import_id
