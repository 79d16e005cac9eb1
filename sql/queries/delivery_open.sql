-- delivery_open: a message to be sent; its id stays the same however often it is tried.
insert into ledger.delivery (import_id, channel, target, message_id)
values (:import_id, :channel, :target, :message_id)
on conflict (import_id, channel, target) do nothing
