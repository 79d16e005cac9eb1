-- Undelivered messages, so that they are found again if Temporal loses the workflow that sends them.
alter table ledger.import
add column notified text not null default '';

comment on column ledger.import.notified is
'The final state for which recipients are in ledger.delivery; reconciliation looks for imports whose state differs.';

-- Messages of imports that ended earlier are still sent by their workflows.
update ledger.import
set notified = state
where finished_at is not null;

create index import_not_notified on ledger.import (finished_at)
where started_at is not null and notified <> state;

alter table ledger.delivery
add column due_at timestamptz,
add column given_up_at timestamptz;

comment on column ledger.delivery.due_at is 'The latest time of the next attempt; null for rows from before this column.';
comment on column ledger.delivery.given_up_at is 'When attempts ended: the recipient is gone, or must not be notified.';

create index delivery_due on ledger.delivery (due_at)
where delivered_at is null and given_up_at is null;

create table ledger.listing (
    bucket text primary key,
    after_key text not null,
    at timestamptz not null default now()
);

comment on table ledger.listing is 'Where reconciliation continues to list a bucket that is too large for one run.';
