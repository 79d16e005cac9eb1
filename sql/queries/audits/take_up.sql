-- audits/take_up: an attempt begins an audit, or begins it again; no row if it has ended, is canceled, or has a later attempt.
update ledger.audit
set
    state = 'running',
    step = 'reading',
    records = 0,
    attempt = :attempt,
    started_at = coalesce(started_at, clock_timestamp())
where
    id = :id
    and state in ('queued', 'running')
    and cancel_requested_at is null
    and coalesce(attempt <= :attempt, true)
returning id
