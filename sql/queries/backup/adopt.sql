-- backup/adopt: an object has another ETag after a restore (that of a multipart upload depends on the size of its parts).
update ledger.import
set etag = :etag
where import.key = :key and import.etag = :former
