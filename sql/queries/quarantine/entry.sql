-- quarantine/entry: the records held back, as a part of which nothing could be loaded.
insert into ledger.part (import_id, part_no, records, inserted, updated, unchanged, failed)
values (:import_id, 0, :records, 0, 0, 0, :records)
