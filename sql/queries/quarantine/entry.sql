-- quarantine/entry: the quarantine as a part whose records all failed.
insert into ledger.part (import_id, part_no, records, inserted, updated, unchanged, failed)
values (:import_id, :part_no, :records, 0, 0, 0, :records)
