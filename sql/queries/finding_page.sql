-- finding_page: a page of an import's findings, in the order of the rows.
select
    finding.finding_no,
    finding.code,
    finding.severity,
    finding.message,
    finding.row,
    finding.line,
    finding."column",
    finding.value,
    finding.hint,
    finding.related,
    finding.cycle,
    finding.id,
    finding.cells
from ledger.finding
where
    finding.import_id = :import_id
    and finding.finding_no > :after
order by finding.finding_no
limit :limit
