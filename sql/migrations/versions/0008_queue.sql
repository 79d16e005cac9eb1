-- At most one active import per dataset, and stored requests to cancel.
alter table ledger.import
add column cancel_requested_at timestamptz,
add column taken_up_at timestamptz;

comment on column ledger.import.cancel_requested_at is 'When its cancellation was requested; every step checks this.';
comment on column ledger.import.taken_up_at is 'Fencing token: the time when the latest attempt to validate it was scheduled.';

-- Earlier versions allowed two active imports of a dataset in the ledger. If there are two, the one that began first continues.
with at_work as (
    select
        import.id,
        import.state,
        row_number() over (partition by import.dataset order by import.started_at, import.queue_seq) as place
    from ledger.import
    where import.state in ('validating', 'preparing', 'loading', 'paused')
),

put_back as (
    update ledger.import
    set state = 'queued'
    from at_work
    where
        import.id = at_work.id
        and at_work.place > 1
    returning
        import.id as import_id,
        at_work.state as was
),

unclaimed as (
    delete from ledger.claim
    using put_back
    where claim.import_id = put_back.import_id
)

insert into ledger.move (import_id, from_state, to_state, reason)
select
    put_back.import_id,
    put_back.was,
    'queued' as to_state,
    'another import of the dataset was at work too; it waits for its turn' as reason
from put_back;

create unique index import_at_work on ledger.import (dataset)
where state in ('validating', 'preparing', 'loading', 'paused');

comment on index ledger.import_at_work is 'At most one active import per dataset.';
