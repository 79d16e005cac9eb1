-- findings/count: how many findings of a code and a severity an import has.
select count(*)
from ledger.finding
where
    finding.import_id = :import_id
    and finding.code = :code
    and finding.severity = :severity
