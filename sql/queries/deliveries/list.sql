-- deliveries/list: the messages about an import's outcome.
select
    delivery.channel,
    delivery.target,
    delivery.message_id,
    delivery.attempts,
    delivery.last_error,
    delivery.created_at,
    delivery.delivered_at,
    delivery.given_up_at
from ledger.delivery
where delivery.import_id = :import_id
order by delivery.channel, delivery.target
