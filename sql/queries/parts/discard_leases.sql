-- parts/discard_leases: take away what was claimed, so that who has it still can write nothing.
delete from ledger.claim
where claim.import_id = :import_id
