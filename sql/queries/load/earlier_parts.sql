-- load/earlier_parts: how many of the parts up to this one are in the ledger.
select count(*) as parts
from ledger.part
where
    part.import_id = %(import_id)s
    and part.part_no between 1 and %(needed)s
