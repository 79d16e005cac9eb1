-- load_failure: one record that cannot be loaded, and why.
insert into ledger.failure (import_id, _row, part_no, batch_no, id, code, sqlstate, message, record)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
