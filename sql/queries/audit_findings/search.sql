-- audit_findings/search: a page of the findings whose id, value or row is the wanted one. Code by code, since the indexes have
-- them in the order of the rows only so: then a page costs the same, however many findings there are like that.
with found as (
    select places.finding_no
    from unnest(cast(:codes as text[])) as codes (code)
    cross join lateral ( -- noqa: ST05
        (
            select audit_finding.finding_no
            from ledger.audit_finding
            where
                audit_finding.audit_id = :audit_id
                and hashtextextended(audit_finding.id, 0) = hashtextextended(:wanted, 0)
                and audit_finding.id = :wanted
                and audit_finding.code = codes.code
                and audit_finding.finding_no > :after
            order by audit_finding.finding_no
            limit :limit
        )
        union
        (
            select audit_finding.finding_no
            from ledger.audit_finding
            where
                audit_finding.audit_id = :audit_id
                and hashtextextended(audit_finding.value, 0) = hashtextextended(:wanted, 0)
                and audit_finding.value = :wanted
                and audit_finding.code = codes.code
                and audit_finding.finding_no > :after
            order by audit_finding.finding_no
            limit :limit
        )
        union
        (
            select audit_finding.finding_no
            from ledger.audit_finding
            where
                audit_finding.audit_id = :audit_id
                and audit_finding.row = :row
                and audit_finding.code = codes.code
                and audit_finding.finding_no > :after
            order by audit_finding.finding_no
            limit :limit
        )
    ) as places
)

select audit_finding.* -- noqa: AM04
from ledger.audit_finding
where
    audit_finding.audit_id = :audit_id
    and audit_finding.finding_no in (select found.finding_no from found)
order by audit_finding.finding_no
limit :limit
