-- What a count of a dataset's table found, so that no page counts ten million records.
create table ledger.dataset_numbers (
    dataset text primary key,
    wanted_at timestamptz not null,
    tried_at timestamptz,
    counted_at timestamptz,
    seconds double precision,
    records bigint,
    roots bigint,
    depth integer,
    unreachable bigint,
    error text not null default ''
);

comment on table ledger.dataset_numbers is 'The last count of each dataset''s records, and the time of the last load.';
comment on column ledger.dataset_numbers.counted_at is 'The numbers have all that was loaded before; null: never counted.';
comment on column ledger.dataset_numbers.depth is 'The depth of the deepest record; a root has 0. Null: there are no records.';
comment on column ledger.dataset_numbers.unreachable is 'Records that no way from a root leads to.';
comment on column ledger.dataset_numbers.error is 'Why the last count failed; empty if it succeeded.';

create table ledger.dataset_top (
    dataset text not null,
    place integer not null,
    id text not null,
    parent text,
    depth integer not null,
    children bigint not null,
    descendants bigint not null,
    primary key (dataset, place)
);

comment on table ledger.dataset_top is 'The records with the most descendants at the last count, each after its parent.';

create index import_ended on ledger.import (dataset, finished_at desc, id)
where state in ('succeeded', 'partially_succeeded', 'rejected', 'failed');

comment on index ledger.import_ended is 'The last import of a dataset that was loaded or refused.';
