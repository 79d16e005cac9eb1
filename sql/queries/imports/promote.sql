-- imports/promote: the transition of a validated dry run to "queued": to the end of the queue, with nothing counted yet.
update ledger.import
set
    state = 'queued',
    options = :options,
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
