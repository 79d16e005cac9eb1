-- What an import was asked to do, how its file was read, what a dry run foresaw; and every finding, for people's own SQL.
alter table ledger.import
add column options jsonb not null default '{}',
add column reading jsonb not null default '{}',
add column preview jsonb,
add column quarantined bigint not null default 0;

comment on column ledger.import.options is 'What the upload asked for; what it left open is the dataset''s to say.';
comment on column ledger.import.reading is 'Format, compression, encoding, delimiter, and the version of the dataset''s rules.';
comment on column ledger.import.preview is 'What a dry run says would be inserted, updated, left unchanged and moved.';
comment on column ledger.import.quarantined is 'Records held back by validation; they are among the failed ones.';

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

comment on table ledger.finding is 'Everything that validation said, numbered in the order of the rows, as in the files.';

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
