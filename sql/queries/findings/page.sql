-- findings/page: a page of an import's findings in the order of the rows, by keyset pagination.
select finding.* -- noqa: AM04
from ledger.finding
where
    finding.import_id = :import_id
    and finding.finding_no > :after
order by finding.finding_no
limit :limit
