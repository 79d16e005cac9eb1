-- deliveries/untold: ends of which nothing tells any more: it was not noted who is to be told, or a message is long overdue.
with untold as (
    select import.id
    from ledger.import
    where
        import.started_at is not null
        and import.notified <> import.state
        and import.finished_at < clock_timestamp() - make_interval(secs => :ended)
        and import.finished_at > clock_timestamp() - make_interval(secs => :within)

    union

    select delivery.import_id as id
    from ledger.delivery
    where
        delivery.delivered_at is null
        and delivery.given_up_at is null
        and delivery.due_at < clock_timestamp() - make_interval(secs => :overdue)
        and delivery.due_at > clock_timestamp() - make_interval(secs => 2 * :within)
)

select
    import.id::text as id,
    import.state,
    import.reason
from untold
inner join ledger.import on untold.id = import.id
where
    import.state = any(:final)
    and import.finished_at > clock_timestamp() - make_interval(secs => :within)
order by import.finished_at asc, import.id asc
limit :imports
