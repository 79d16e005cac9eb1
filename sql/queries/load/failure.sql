-- load/failure: one record that cannot be loaded, and why.
insert into ledger.failure (import_id, _row, part_no, batch_no, id, code, sqlstate, message, record, unmasked)
values (
    %(import_id)s, %(row)s, %(part_no)s, %(batch_no)s, %(id)s, %(code)s, %(sqlstate)s, %(message)s, %(record)s, %(unmasked)s
)
