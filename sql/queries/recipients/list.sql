-- recipients/list: the recipients that admins added, newest first.
select
    receiver.channel,
    receiver.target,
    receiver.datasets,
    receiver.secret
from ledger.receiver
order by receiver.created_at desc, receiver.channel asc, receiver.target asc
