-- findings/page_of_codes: the same, of some codes and severities. One pair after the other, since the index has them in the
-- order of the rows only so.
with found as (
    select places.finding_no
    from unnest(cast(:codes as text[])) as codes (code)
    cross join unnest(cast(:severities as text[])) as severities (severity)
    cross join lateral ( -- noqa: ST05
        select finding.finding_no
        from ledger.finding
        where
            finding.import_id = :import_id
            and finding.code = codes.code
            and finding.severity = severities.severity
            and finding.finding_no > :after
        order by finding.finding_no
        limit :limit
    ) as places
)

select finding.* -- noqa: AM04
from ledger.finding
where
    finding.import_id = :import_id
    and finding.finding_no in (select found.finding_no from found)
order by finding.finding_no
limit :limit
