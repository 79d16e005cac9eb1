-- Datasets whose suite has expect_every: recipients get one message about a silence, and one about its end.
create table ledger.expected_arrival (
    dataset text primary key,
    watched_since timestamptz not null default now(),
    silent_since timestamptz
);

comment on table ledger.expected_arrival is 'One row per dataset whose files are expected at an interval.';
comment on column ledger.expected_arrival.silent_since is
'The last arrival before the silence that recipients were notified of; null if files arrive.';

create index import_arrival on ledger.import (dataset, created_at desc);

comment on index ledger.import_arrival is 'Finds the last file of a dataset.';
