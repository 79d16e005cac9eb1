-- audit_findings/discard: delete an audit's findings.
delete from ledger.audit_finding
where audit_finding.audit_id = :audit_id
