-- parts/discard_leases: take back all leases of an import's parts, so that their holders can write nothing any more.
delete from ledger.claim
where claim.import_id = :import_id
