-- audits/cancel: an audit that waits is canceled now, one that runs soon; no row if it has ended.
update ledger.audit
set
    cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
    state = case when state = 'queued' then 'canceled' else state end,
    finished_at = case when state = 'queued' then clock_timestamp() end
where
    id = :id
    and state in ('queued', 'running')
returning id
