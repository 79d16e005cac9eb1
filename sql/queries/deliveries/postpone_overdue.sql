-- deliveries/postpone_overdue: the overdue messages of an import are being sent: they are due again later.
update ledger.delivery
set due_at = clock_timestamp() + make_interval(secs => :wait_seconds)
where
    import_id = :import_id
    and delivered_at is null
    and given_up_at is null
    and due_at < clock_timestamp()
