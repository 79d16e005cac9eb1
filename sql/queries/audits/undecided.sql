-- audits/undecided: the audits that succeeded and of which it is not decided what recipients get to know, oldest first.
select
    audit.id::text as id,
    audit.dataset,
    audit.scheduled,
    audit.finished_at,
    audit.records,
    audit.invalid,
    audit.findings_errors,
    audit.findings_warnings,
    coalesce(audit.summary -> 'codes', '[]') as codes,
    (
        select earlier.message
        from ledger.audit as earlier
        where
            earlier.dataset = audit.dataset
            and earlier.message in ('errors', 'clean')
        order by earlier.finished_at desc
        limit 1
    ) as known
from ledger.audit
where
    audit.state = 'succeeded'
    and audit.message is null
order by audit.finished_at
