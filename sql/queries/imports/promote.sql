-- imports/promote: a dry run is to be loaded: it goes to the end of the queue, and nothing is counted yet.
update ledger.import
set
    queue_seq = default,
    records_total = 0,
    records_valid = 0,
    records_invalid = 0,
    unprocessed = 0,
    parts_total = 0,
    quarantined = 0,
    findings_errors = 0,
    findings_warnings = 0,
    findings_by_code = '{}',
    reason = '',
    started_at = null,
    finished_at = null
where id = :id
returning import.options
