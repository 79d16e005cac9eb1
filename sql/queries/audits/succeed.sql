-- audits/succeed: the end of an audit with its counts; no row if this attempt is no longer the one at work, or it is to end.
update ledger.audit
set
    state = 'succeeded',
    step = '',
    records = :records,
    invalid = :invalid,
    findings_errors = :findings_errors,
    findings_warnings = :findings_warnings,
    summary = :summary,
    reading = :reading,
    finished_at = clock_timestamp()
where
    id = :id
    and state = 'running'
    and cancel_requested_at is null
    and attempt = :attempt
returning id
