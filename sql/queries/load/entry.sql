-- load/entry: the part's row in the ledger, in the transaction of its records.
insert into ledger.part (import_id, part_no, sha256, records, inserted, updated, unchanged, failed)
values (
    %(import_id)s, %(part_no)s, %(checksum)s, %(records)s, %(inserted)s, %(updated)s, %(unchanged)s, %(failed)s
)
