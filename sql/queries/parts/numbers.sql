-- parts/numbers: the numbers of the parts that are loaded, without part 0, the quarantine.
select part.part_no
from ledger.part
where part.import_id = :import_id and part.part_no > 0
order by part.part_no
