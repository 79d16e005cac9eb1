-- Messages that are still to be delivered: found again when Temporal has lost what was sending them.
alter table ledger.import
add column notified text not null default '';

comment on column ledger.import.notified is
'The final state of which it was noted who is to be told (ledger.delivery); reconciliation looks for those where it is another.';

-- Of imports that ended before, the workflows that were at it still see to it.
update ledger.import
set notified = state
where finished_at is not null;

create index import_not_notified on ledger.import (finished_at)
where started_at is not null and notified <> state;

alter table ledger.delivery
add column due_at timestamptz,
add column given_up_at timestamptz;

comment on column ledger.delivery.due_at is 'When it is tried next at the latest; null: before that was noted.';
comment on column ledger.delivery.given_up_at is 'Since then it is not tried any more: its receiver is gone, or may not be told.';

create index delivery_due on ledger.delivery (due_at)
where delivered_at is null and given_up_at is null;

create table ledger.listing (
    bucket text primary key,
    after_key text not null,
    at timestamptz not null default now()
);

comment on table ledger.listing is 'Where reconciliation goes on with the listing of a bucket that is too large for one run.';
