-- audit_findings/count: how many findings of a code and a severity an audit has.
select count(*)
from ledger.audit_finding
where
    audit_finding.audit_id = :audit_id
    and audit_finding.code = :code
    and audit_finding.severity = :severity
