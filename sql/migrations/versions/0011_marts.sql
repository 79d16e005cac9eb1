-- Materialized views that could not be refreshed, and why.
create table ledger.mart_wanted (
    dataset text primary key,
    wanted_at timestamptz not null,
    tried_at timestamptz
);

comment on table ledger.mart_wanted is 'Datasets with marts: the time of the last load and of the start of the last refresh.';

create table ledger.mart (
    dataset text not null,
    name text not null,
    tried_at timestamptz not null,
    data_at timestamptz,
    seconds double precision,
    error text not null default '',
    primary key (dataset, name)
);

comment on table ledger.mart is 'The result of the last refresh of each mart.';
comment on column ledger.mart.data_at is 'The mart contains everything loaded before this time; null: it was never refreshed.';
comment on column ledger.mart.error is 'The error of the last refresh; empty if it succeeded.';
