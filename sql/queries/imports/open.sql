-- imports/open: a new import; nothing if there is one with that ID already. The import that it retries may be deleted by now.
insert into ledger.import (
    id, dataset, state, filename, size_bytes, bucket, key, etag, created_by, options, retry_of, traceparent, upload_until
)
values (
    :id,
    :dataset,
    :state,
    :filename,
    :size_bytes,
    :bucket,
    :key,
    :etag,
    :created_by,
    :options,
    (select known.id from ledger.import as known where known.id = cast(:retry_of as uuid)),
    cast(:traceparent as text),
    clock_timestamp() + make_interval(secs => cast(:upload_seconds as double precision))
)
on conflict (id) do nothing
returning import.id
