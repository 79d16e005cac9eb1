-- quarantine/copy: the rows in quarantine, each with its reason, as validate/quarantine.py writes them.
copy ledger.failure (import_id, _row, part_no, batch_no, id, code, message, record, unmasked) from stdin with (format csv)
