-- backup/move_bucket: the objects of all imports are in this bucket now.
update ledger.import
set bucket = :bucket
where import.bucket <> :bucket and import.bucket <> ''
