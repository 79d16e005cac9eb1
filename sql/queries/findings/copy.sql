-- findings/copy: copy an import's findings into the ledger, in the order of the rows.
copy ledger.finding (
    import_id, finding_no, code, severity, message, row, line, "column", value, hint, related, cycle, id, cells
) from stdin
