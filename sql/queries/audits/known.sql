-- audits/known: which of these audits are in the ledger, and whether they have ended.
select
    audit.id::text as audit_id,
    audit.finished_at
from ledger.audit
where audit.id = any(:ids)
