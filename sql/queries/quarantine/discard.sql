-- quarantine/discard: what was held back before, to be entered anew.
with gone as (
    delete from ledger.part
    where import_id = :import_id and part_no = 0
)

delete from ledger.failure
where import_id = :import_id and part_no = 0
