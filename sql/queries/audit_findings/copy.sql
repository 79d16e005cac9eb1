-- audit_findings/copy: copy an audit's findings into the ledger, in the order of the rows.
copy ledger.audit_finding (
    audit_id, finding_no, code, severity, message, row, line, "column", value, hint, related, cycle, id, cells
) from stdin
