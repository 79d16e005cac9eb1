-- audits/unfinished: the audits that have not ended, of those that were requested before then.
select
    audit.id::text as audit_id,
    audit.dataset
from ledger.audit
where
    audit.state in ('queued', 'running')
    and audit.created_at < :before
order by audit.created_at
