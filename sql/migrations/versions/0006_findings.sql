-- The row of each finding, and the indexes for pages of findings.
alter table ledger.finding add column cells text[];

comment on column ledger.finding.cells is 'The row as it was in the file, in the order of its columns; long cells are cut.';

create index finding_code on ledger.finding (import_id, code, severity, finding_no);
create index finding_row on ledger.finding (import_id, row, code, finding_no);
create index finding_id on ledger.finding (import_id, hashtextextended(id, 0), code, finding_no);
create index finding_value on ledger.finding (import_id, hashtextextended(value, 0), code, finding_no);

comment on index ledger.finding_id is 'An index of hashes, since an id may be longer than an index entry.';
