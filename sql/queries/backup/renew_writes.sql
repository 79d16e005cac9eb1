-- backup/renew_writes: noted writes of other clients come first, in their order, before all transactions of this server.
with former as (
    delete from ledger.foreign_write
    returning *
)

insert into ledger.foreign_write (dataset, transaction, operation, role, client, written_at)
select
    former.dataset,
    (2 + row_number() over (partition by former.dataset order by former.written_at, former.transaction))::text::xid8,
    former.operation,
    former.role,
    former.client,
    former.written_at
from former
