-- load/known: what an earlier attempt at this part wrote, if its commit arrived.
select
    part.inserted,
    part.updated,
    part.unchanged,
    part.failed,
    part.sha256
from ledger.part
where
    part.import_id = %(import_id)s
    and part.part_no = %(part_no)s
