-- Indexes for the retention of dry runs, idempotency keys and sign-ins.
create index idempotency_created_at on access.idempotency (created_at);
create index sign_in_expires_at on access.sign_in (expires_at);
create index import_validated on ledger.import (finished_at) where state = 'validated';

-- The lease of an upload: when it expires unless it is renewed.
alter table ledger.import add column upload_until timestamptz;

comment on column ledger.import.upload_until is
'When an unfinished upload expires. The process that receives it renews this lease. Null: BULKHEAD_KEEP_UPLOADS applies.';

create index import_awaiting on ledger.import (created_at) where state = 'awaiting_upload';

-- Find whether any import of a dataset has changed the warehouse since a given one.
create index import_changing on ledger.import (dataset, finished_at)
where state in ('succeeded', 'partially_succeeded', 'failed', 'canceled', 'validating', 'preparing', 'loading', 'paused');
