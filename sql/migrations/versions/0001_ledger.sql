-- The ledger, which keeps every import forever, and the API keys.
create schema if not exists ledger;
create schema if not exists warehouse;

create table ledger.import (
    id uuid primary key,
    dataset text not null,
    state text not null,
    queue_seq bigint generated always as identity,
    filename text not null default '',
    size_bytes bigint not null default 0,
    sha256 text not null default '',
    bucket text not null default '',
    key text not null default '',
    etag text not null default '',
    records_total bigint not null default 0,
    records_valid bigint not null default 0,
    records_invalid bigint not null default 0,
    unprocessed bigint not null default 0,
    parts_total integer not null default 0,
    findings_errors bigint not null default 0,
    findings_warnings bigint not null default 0,
    findings_by_code jsonb not null default '{}',
    reason text not null default '',
    created_by uuid,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz
);

create index import_created_at on ledger.import (created_at desc, id desc);
create index import_dataset_state on ledger.import (dataset, state, queue_seq);
create index import_object on ledger.import (bucket, key);

comment on table ledger.import is 'One row per import: the run of one file, from upload to final state.';

create table ledger.move (
    import_id uuid not null references ledger.import (id) on delete cascade,
    at timestamptz not null default clock_timestamp(),
    from_state text,
    to_state text not null,
    reason text not null default '',
    seq bigint generated always as identity primary key
);

create index move_import_id on ledger.move (import_id, seq);

comment on table ledger.move is 'Every state transition, with its reason.';

create table ledger.part (
    import_id uuid not null references ledger.import (id) on delete cascade,
    part_no integer not null,
    records integer not null,
    inserted integer not null,
    updated integer not null,
    unchanged integer not null,
    failed integer not null,
    loaded_at timestamptz not null default clock_timestamp(),
    primary key (import_id, part_no)
);

comment on table ledger.part is 'One row per loaded part, written in the same transaction as its records.';

create table ledger.failure (
    import_id uuid not null references ledger.import (id) on delete cascade,
    _row bigint not null,
    part_no integer not null,
    batch_no bigint not null,
    id text not null,
    code text not null,
    sqlstate text not null default '',
    message text not null,
    record jsonb not null default '{}',
    primary key (import_id, _row)
);

create index failure_import_id_id on ledger.failure (import_id, id);

comment on table ledger.failure is 'Records that the warehouse refused permanently, written in the transaction of their part.';

create table ledger.delivery (
    import_id uuid not null references ledger.import (id) on delete cascade,
    channel text not null,
    target text not null,
    message_id text not null,
    attempts integer not null default 0,
    last_error text not null default '',
    created_at timestamptz not null default now(),
    delivered_at timestamptz,
    primary key (import_id, channel, target)
);

comment on table ledger.delivery is 'The recipients of messages about an import''s outcome, and whether each message arrived.';

create schema if not exists access;

create table access.api_key (
    id uuid primary key,
    name text not null,
    role text not null check (role in ('reader', 'uploader', 'admin')),
    secret_hash text not null,
    created_at timestamptz not null default now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);

comment on table access.api_key is 'API keys; only a hash of each secret is stored.';

create table access.sign_in (
    token_hash text primary key,
    key_id uuid not null references access.api_key (id) on delete cascade,
    expires_at timestamptz not null,
    used_at timestamptz
);

comment on table access.sign_in is 'One-time tokens behind the sign-in links.';

create table access.idempotency (
    key_id uuid not null references access.api_key (id) on delete cascade,
    idempotency_key text not null,
    fingerprint text not null,
    import_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (key_id, idempotency_key)
);

comment on table access.idempotency is 'Idempotency-Key headers received, so that a repeated request returns the first import.';
