-- An import's options, how its file was read, the counts of a dry run; and every finding, for users' SQL.
alter table ledger.import
add column options jsonb not null default '{}',
add column reading jsonb not null default '{}',
add column preview jsonb,
add column quarantined bigint not null default 0;

comment on column ledger.import.options is 'Options of the upload; the dataset''s defaults apply to the others.';
comment on column ledger.import.reading is 'Format, compression, encoding, delimiter, and the version of the dataset''s rules.';
comment on column ledger.import.preview is 'Counts of a dry run: what a load would insert, update, leave unchanged and move.';
comment on column ledger.import.quarantined is 'Records quarantined by validation; they are among the failed ones.';

create table ledger.finding (
    import_id uuid not null references ledger.import (id) on delete cascade,
    finding_no bigint not null,
    code text not null,
    severity text not null,
    message text not null,
    row bigint,
    line bigint,
    "column" text,
    value text,
    hint text,
    related text[],
    cycle text[],
    id text,
    primary key (import_id, finding_no)
);

comment on table ledger.finding is 'Every finding of validation, numbered in the order of the rows, as in the report files.';

create view warehouse.import_findings as
select
    import.dataset,
    import.filename,
    import.created_at as imported_at,
    finding.import_id,
    finding.finding_no,
    finding.code,
    finding.severity,
    finding.message,
    finding.row,
    finding.line,
    finding."column",
    finding.value,
    finding.hint,
    finding.related,
    finding.cycle,
    finding.id
from ledger.finding
inner join ledger.import on finding.import_id = import.id;

comment on view warehouse.import_findings is 'The findings of all imports: select ... where import_id = ''...''';
