-- deliveries/forgotten: outcomes that no run sends messages about any more: they were never planned, or one is long overdue.
with forgotten as (
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
from forgotten
inner join ledger.import on forgotten.id = import.id
where
    import.state = any(:final)
    and import.finished_at > clock_timestamp() - make_interval(secs => :within)
order by import.finished_at asc, import.id asc
limit :imports
