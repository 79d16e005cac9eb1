-- definitions/note_dump: where the dump of a dropped dataset is.
insert into ledger.dropped_dataset (id, name, version, prefix, records, dropped_by)
values (:id, :name, :version, :prefix, :records, :dropped_by)
