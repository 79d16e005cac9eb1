-- findings/search: a page of the findings whose id, value or row is the wanted one. Code by code, since the indexes have them
-- in the order of the rows only so: then a page costs the same, however many findings there are like that.
with found as (
    select places.finding_no
    from unnest(cast(:codes as text[])) as codes (code)
    cross join lateral ( -- noqa: ST05
        (
            select finding.finding_no
            from ledger.finding
            where
                finding.import_id = :import_id
                and hashtextextended(finding.id, 0) = hashtextextended(:wanted, 0)
                and finding.id = :wanted
                and finding.code = codes.code
                and finding.finding_no > :after
            order by finding.finding_no
            limit :limit
        )
        union
        (
            select finding.finding_no
            from ledger.finding
            where
                finding.import_id = :import_id
                and hashtextextended(finding.value, 0) = hashtextextended(:wanted, 0)
                and finding.value = :wanted
                and finding.code = codes.code
                and finding.finding_no > :after
            order by finding.finding_no
            limit :limit
        )
        union
        (
            select finding.finding_no
            from ledger.finding
            where
                finding.import_id = :import_id
                and finding.row = :row
                and finding.code = codes.code
                and finding.finding_no > :after
            order by finding.finding_no
            limit :limit
        )
    ) as places
)

select finding.* -- noqa: AM04
from ledger.finding
where
    finding.import_id = :import_id
    and finding.finding_no in (select found.finding_no from found)
order by finding.finding_no
limit :limit
