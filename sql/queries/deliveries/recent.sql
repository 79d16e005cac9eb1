-- deliveries/recent: the messages about the last imports, newest import first.
with recent as (
    select
        import.id,
        import.filename,
        import.dataset,
        import.state,
        import.options -> 'notify' as named,
        import.created_at
    from ledger.import
    order by import.created_at desc, import.id desc
    limit :imports
)

select
    recent.id::text as import_id,
    recent.filename,
    recent.dataset,
    recent.state,
    recent.named,
    delivery.channel,
    delivery.target,
    delivery.message_id,
    delivery.attempts,
    delivery.last_error,
    delivery.created_at,
    delivery.delivered_at
from recent
inner join ledger.delivery on recent.id = delivery.import_id
order by recent.created_at desc, recent.id desc, delivery.channel asc, delivery.target asc
