-- imports/complete_upload: the file is complete in S3; its import is queued unless it is further already. An empty checksum
-- leaves the one that is known.
update ledger.import
set
    state = case when state = 'awaiting_upload' then 'queued' else state end,
    size_bytes = :size_bytes,
    sha256 = coalesce(nullif(cast(:sha256 as text), ''), sha256),
    etag = :etag
where id = :id
