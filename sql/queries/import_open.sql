-- import_open: a new import, or nothing if there is one of that id already.
insert into ledger.import (id, dataset, state, filename, size_bytes, bucket, key, etag, created_by, options, retry_of)
values (:id, :dataset, :state, :filename, :size_bytes, :bucket, :key, :etag, :created_by, :options, :retry_of)
on conflict (id) do nothing
returning import.id
