-- audit_findings/page_of_codes: the same, of some codes and severities. One pair after the other, since the index has them in the
-- order of the rows only so.
with found as (
    select places.finding_no
    from unnest(cast(:codes as text[])) as codes (code)
    cross join unnest(cast(:severities as text[])) as severities (severity)
    cross join lateral ( -- noqa: ST05
        select audit_finding.finding_no
        from ledger.audit_finding
        where
            audit_finding.audit_id = :audit_id
            and audit_finding.code = codes.code
            and audit_finding.severity = severities.severity
            and audit_finding.finding_no > :after
        order by audit_finding.finding_no
        limit :limit
    ) as places
)

select audit_finding.* -- noqa: AM04
from ledger.audit_finding
where
    audit_finding.audit_id = :audit_id
    and audit_finding.finding_no in (select found.finding_no from found)
order by audit_finding.finding_no
limit :limit
