-- audits/at_work: the dataset's audit that has not ended.
select audit.id::text as id
from ledger.audit
where
    audit.dataset = :dataset
    and audit.state in ('queued', 'running')
