-- findings/copy: take in an import's findings, in the order of the rows.
copy ledger.finding (
    import_id, finding_no, code, severity, message, row, line, "column", value, hint, related, cycle, id, cells
) from stdin
