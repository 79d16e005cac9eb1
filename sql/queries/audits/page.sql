-- audits/page: a page of a dataset's audits, newest first, by keyset pagination: those older than :before.
select
    audit.id::text as id,
    audit.dataset,
    audit.state,
    audit.step,
    audit.records,
    audit.invalid,
    audit.findings_errors,
    audit.findings_warnings,
    audit.summary,
    audit.reading,
    audit.reason,
    audit.scheduled,
    audit.created_by::text as created_by,
    coalesce(api_key.name, person.name) as created_by_name,
    audit.cancel_requested_at,
    audit.created_at,
    audit.started_at,
    audit.finished_at,
    audit.report_removed_at
from ledger.audit
left join access.api_key on audit.created_by = api_key.id
left join access.person on audit.created_by = person.id
where
    audit.dataset = :dataset
    and (
        cast(:before as uuid) is null
        or (audit.created_at, audit.id) < (
            select last_seen.created_at, last_seen.id -- noqa: ST06
            from ledger.audit as last_seen
            where last_seen.id = :before
        )
    )
order by audit.created_at desc, audit.id desc
limit :limit
