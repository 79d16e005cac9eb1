-- numbers/last: the last audit of each of these datasets that succeeded, and the last import that was loaded or refused.
select
    asked.name as dataset,
    audit.id::text as audit_id,
    audit.findings_errors as audit_errors,
    audit.findings_warnings as audit_warnings,
    audit.finished_at as audited_at,
    import.id::text as import_id,
    import.state as import_state,
    import.findings_errors as import_errors,
    import.finished_at as imported_at
from unnest(cast(:datasets as text[])) as asked (name)
left join lateral (
    select audit.* from ledger.audit -- noqa: AM04
    where audit.dataset = asked.name and audit.state = 'succeeded'
    order by audit.created_at desc, audit.id desc
    limit 1
) as audit on true
left join lateral (
    select import.* from ledger.import -- noqa: AM04
    where
        import.dataset = asked.name
        and import.state in ('succeeded', 'partially_succeeded', 'rejected', 'failed')
        and import.finished_at is not null
    order by import.finished_at desc, import.id asc
    limit 1
) as import on true
