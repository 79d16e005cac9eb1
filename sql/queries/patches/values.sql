-- patches/values: what the findings know of the values of these rows.
select
    finding.row,
    finding.column,
    min(finding.value) as value
from ledger.finding
where
    finding.import_id = :import_id
    and finding.row = any(:rows)
    and finding.column is not null
    and finding.value is not null
group by finding.row, finding.column
having min(finding.value) = max(finding.value)
