-- load/release_lease: the last statement of a part's transaction; no row means that the fencing token is void.
delete from ledger.claim
where
    claim.import_id = %(import_id)s
    and claim.part_no = %(part_no)s
    and claim.token = %(token)s
