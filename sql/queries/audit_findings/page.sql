-- audit_findings/page: a page of an audit's findings in the order of the rows, by keyset pagination.
select audit_finding.* -- noqa: AM04
from ledger.audit_finding
where
    audit_finding.audit_id = :audit_id
    and audit_finding.finding_no > :after
order by audit_finding.finding_no
limit :limit
