-- Messages about audits. Recipients are not notified of the audits before this.
alter table ledger.audit
add column message text check (message in ('none', 'errors', 'clean'));

update ledger.audit
set message = 'none'
where state = 'succeeded';

create index audit_undecided on ledger.audit (finished_at) where state = 'succeeded' and message is null;
create index audit_message on ledger.audit (dataset, finished_at desc) where message in ('errors', 'clean');

comment on column ledger.audit.message is 'What recipients were notified of; null: not decided, or it did not succeed.';
