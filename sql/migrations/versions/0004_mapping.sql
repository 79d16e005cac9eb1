-- The last mapping of the columns of files with the same header.
create table ledger.mapping (
    dataset text not null,
    header text not null,
    mapping jsonb not null,
    remembered_by uuid,
    remembered_at timestamptz not null default clock_timestamp(),
    primary key (dataset, header)
);

comment on table ledger.mapping is 'The mapping chosen for the columns of a file, suggested for the next one.';
comment on column ledger.mapping.header is 'SHA-256 of the sorted column names of the file.';
comment on column ledger.mapping.mapping is 'Column name in the file to column of the dataset; empty for a skipped column.';
