-- failures/of_record: where among a dataset's last imports a record of this ID failed (quarantined or refused), newest first.
-- Each of those imports is one look-up by (import_id, hash of id).
with latest as (
    select
        import.id,
        import.filename,
        import.created_at,
        import.reading
    from ledger.import
    where import.dataset = :dataset
    order by import.created_at desc, import.id desc
    limit :imports
)

select
    latest.id::text as import_id,
    latest.filename,
    latest.created_at,
    latest.reading,
    refused._row as row,
    refused.code,
    refused.message,
    refused.unmasked
from latest
inner join lateral (
    select
        failure._row,
        failure.code,
        failure.message,
        failure.unmasked
    from ledger.failure
    where
        failure.import_id = latest.id
        and hashtextextended(failure.id, 0) = hashtextextended(:id, 0)
        and failure.id = :id
    order by failure._row
    limit 1
) as refused on true
order by latest.created_at desc, latest.id desc
limit :limit
