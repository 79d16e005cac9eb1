-- parts/numbers: the parts of an import that are in the books, without the quarantine (part 0).
select part.part_no
from ledger.part
where part.import_id = :import_id and part.part_no > 0
order by part.part_no
