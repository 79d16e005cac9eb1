-- patches/alike: the rows with a finding of the same code, column and value, in order. The code's index has them all; a value is
-- found by the index of its hash.
select distinct finding.row
from ledger.finding
where
    finding.import_id = :import_id
    and finding.code = :code
    and finding.column is not distinct from :column
    and finding.value is not distinct from :value
    and finding.row is not null
order by finding.row
limit :limit
