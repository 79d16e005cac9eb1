-- Retention of what had none: dry runs, idempotency keys, sign-ins.
create index idempotency_created_at on access.idempotency (created_at);
create index sign_in_expires_at on access.sign_in (expires_at);
create index import_validated on ledger.import (finished_at) where state = 'validated';

-- Until when an upload may go on without a sign of life.
alter table ledger.import add column upload_until timestamptz;

comment on column ledger.import.upload_until is
'When an awaited upload is given up. The process that receives it renews this lease. Null: BULKHEAD_KEEP_UPLOADS says.';

create index import_awaiting on ledger.import (created_at) where state = 'awaiting_upload';

-- Has any import of a dataset changed the warehouse since another one did?
create index import_changing on ledger.import (dataset, finished_at)
where state in ('succeeded', 'partially_succeeded', 'failed', 'canceled', 'validating', 'preparing', 'loading', 'paused');
