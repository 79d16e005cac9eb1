-- Audits: every rule and check of a dataset over what is loaded.
create table ledger.audit (
    id uuid primary key,
    dataset text not null,
    state text not null default 'queued'
    check (state in ('queued', 'running', 'succeeded', 'failed', 'canceled')),
    step text not null default ''
    check (step in ('', 'reading', 'checking', 'storing')),
    records bigint not null default 0,
    invalid bigint not null default 0,
    findings_errors bigint not null default 0,
    findings_warnings bigint not null default 0,
    summary jsonb not null default '{}',
    reading jsonb not null default '{}',
    reason text not null default '',
    scheduled boolean not null default false,
    created_by uuid,
    attempt timestamptz,
    cancel_requested_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    report_removed_at timestamptz
);

create index audit_dataset on ledger.audit (dataset, created_at desc, id desc);
create unique index audit_at_work on ledger.audit (dataset) where state in ('queued', 'running');

comment on table ledger.audit is 'One row per audit of a dataset: its state, its counts, and how its report was made.';
comment on index ledger.audit_at_work is 'One audit at a time for each dataset.';
comment on column ledger.audit.attempt is 'When the attempt at work was scheduled, its fencing token: earlier ones are refused.';

create table ledger.audit_finding (
    audit_id uuid not null references ledger.audit (id) on delete cascade,
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
    cells text[],
    primary key (audit_id, finding_no)
);

create index audit_finding_code on ledger.audit_finding (audit_id, code, severity, finding_no);
create index audit_finding_row on ledger.audit_finding (audit_id, row, code, finding_no);
create index audit_finding_id on ledger.audit_finding (audit_id, hashtextextended(id, 0), code, finding_no);
create index audit_finding_value on ledger.audit_finding (audit_id, hashtextextended(value, 0), code, finding_no);

comment on table ledger.audit_finding is 'The findings of audits, with the columns of ledger.finding.';
