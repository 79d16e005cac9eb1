-- audits/end: the end of an audit that did not succeed; nothing if it has ended.
update ledger.audit
set
    state = case when cancel_requested_at is null then :state else 'canceled' end,
    step = '',
    reason = case when cancel_requested_at is null then :reason else '' end,
    finished_at = clock_timestamp()
where
    id = :id
    and state in ('queued', 'running')
