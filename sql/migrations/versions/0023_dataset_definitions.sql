-- Definitions of datasets that are kept in the database: what the two files say in a checkout, one row a version.
create table ledger.dataset_definition (
    name text not null check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    version integer not null check (version > 0),
    suite text not null,
    table_sql text not null,
    title text not null,
    created_by text not null,
    created_at timestamptz not null default clock_timestamp(),
    dropped_at timestamptz,
    primary key (name, version)
);

comment on table ledger.dataset_definition is 'Definitions of datasets; the highest version is in use.';
comment on column ledger.dataset_definition.suite is 'The suite as JSON, spelled as it is exported.';
comment on column ledger.dataset_definition.table_sql is 'The table''s SQL, which Bulkhead writes itself.';
comment on column ledger.dataset_definition.created_by is 'The key or person that made this version.';
comment on column ledger.dataset_definition.dropped_at is 'When the dataset was dropped; null: it is in use.';

create index dataset_definition_in_use on ledger.dataset_definition (name, version) where dropped_at is null;

create table ledger.dropped_dataset (
    id uuid primary key,
    name text not null,
    version integer not null,
    prefix text not null,
    records bigint not null,
    dropped_by text not null,
    dropped_at timestamptz not null default clock_timestamp(),
    removed_at timestamptz
);

comment on table ledger.dropped_dataset is 'Dumps of datasets that were dropped, kept in S3 for a while.';
comment on column ledger.dropped_dataset.prefix is 'Where the dump and the two files are in the bucket.';
comment on column ledger.dropped_dataset.removed_at is 'When retention removed the dump; null: it is kept.';

create index dropped_dataset_kept on ledger.dropped_dataset (dropped_at) where removed_at is null;

alter table ledger.import add column definition_version integer;

comment on column ledger.import.definition_version is 'The version of the definition that it was validated with; null: files.';
