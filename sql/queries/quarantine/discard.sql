-- quarantine/discard: delete an import's quarantine.
with gone as (
    delete from ledger.part
    where import_id = :import_id and part_no = :part_no
)

delete from ledger.failure
where import_id = :import_id and part_no = :part_no
