-- quarantine/copy: the records held back, each with its reason, as quarantine.py writes them.
copy ledger.failure (import_id, _row, part_no, batch_no, id, code, message, record) from stdin with (format csv)
