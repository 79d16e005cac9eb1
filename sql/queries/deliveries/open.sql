-- deliveries/open: a message to be sent, with an ID that stays the same however often it is tried. A promoted dry run has
-- two outcomes: the second message replaces the first.
insert into ledger.delivery (import_id, channel, target, message_id, due_at)
values (:import_id, :channel, :target, :message_id, clock_timestamp())
on conflict (import_id, channel, target) do update
    set
        message_id = excluded.message_id,
        attempts = 0,
        last_error = '',
        delivered_at = null,
        given_up_at = null,
        due_at = excluded.due_at
    where delivery.message_id != excluded.message_id
