-- Leases on parts; pauses, retries, duplicates; and what retention has removed.
alter table ledger.import
add column retry_of uuid references ledger.import (id) on delete set null,
add column duplicate_of uuid references ledger.import (id) on delete set null,
add column pause_wanted boolean not null default false,
add column closing boolean not null default false,
add column batches_removed_at timestamptz,
add column source_removed_at timestamptz,
add column results_removed_at timestamptz,
add column report_removed_at timestamptz;

comment on column ledger.import.retry_of is 'The import whose failed records this one retries.';
comment on column ledger.import.duplicate_of is 'The earlier import that loaded the same content.';
comment on column ledger.import.pause_wanted is 'A pause was requested: no further part starts.';
comment on column ledger.import.closing is 'The counts are being summed up: no part may be written any more.';

create index import_retry_of on ledger.import (retry_of) where retry_of is not null;
create index import_content on ledger.import (dataset, sha256) where state = 'succeeded';

alter table ledger.part add column sha256 text not null default '';

comment on column ledger.part.sha256 is 'SHA-256 of the Parquet object that was loaded.';

create table ledger.claim (
    import_id uuid not null references ledger.import (id) on delete cascade,
    part_no integer not null,
    token bigint generated always as identity,
    claimed_at timestamptz not null default clock_timestamp(),
    primary key (import_id, part_no)
);

comment on table ledger.claim is 'The lease of each part: only the attempt with the latest fencing token may write.';
