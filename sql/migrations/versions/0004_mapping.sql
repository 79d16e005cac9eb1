-- How the columns of a file with a certain header were mapped last.
create table ledger.mapping (
    dataset text not null,
    header text not null,
    mapping jsonb not null,
    remembered_by uuid,
    remembered_at timestamptz not null default clock_timestamp(),
    primary key (dataset, header)
);

comment on table ledger.mapping is 'What people made of the columns of a file, to be offered again for the next one.';
comment on column ledger.mapping.header is 'SHA-256 of the names in the file, sorted.';
comment on column ledger.mapping.mapping is 'Name in the file to column of the dataset; empty for one that is left out.';
