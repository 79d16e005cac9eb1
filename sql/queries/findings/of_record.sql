-- findings/of_record: what the last imports of a dataset found in records of this ID, by import and code, newest first. Each of
-- those imports is one look-up by (import_id, hash of id).
with latest as (
    select
        import.id,
        import.filename,
        import.created_at,
        import.state
    from ledger.import
    where import.dataset = :dataset
    order by import.created_at desc, import.id desc
    limit :imports
)

select
    latest.id::text as import_id,
    latest.filename,
    latest.created_at,
    latest.state,
    found.code,
    found.severity,
    found.row
from latest
inner join lateral (
    select
        finding.code,
        finding.severity,
        min(finding.row) as row
    from ledger.finding
    where
        finding.import_id = latest.id
        and hashtextextended(finding.id, 0) = hashtextextended(:id, 0)
        and finding.id = :id
    group by finding.code, finding.severity
) as found on true
order by latest.created_at desc, latest.id desc, found.code asc
limit :limit
