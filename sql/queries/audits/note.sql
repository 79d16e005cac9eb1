-- audits/note: how far an attempt is; no row if it is no longer the one at work, or the audit is to end.
update ledger.audit
set
    step = :step,
    records = :records
where
    id = :id
    and state = 'running'
    and cancel_requested_at is null
    and attempt = :attempt
returning id
