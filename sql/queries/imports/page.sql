-- imports/page: a page of imports, newest first, by keyset pagination: those older than :before; null filters do not apply.
select import.id::text as id
from ledger.import
where
    (cast(:among as text[]) is null or import.dataset = any(:among))
    and (cast(:dataset as text) is null or import.dataset = :dataset)
    and (cast(:state as text) is null or import.state = :state)
    and (cast(:since as timestamptz) is null or import.created_at >= :since)
    and (cast(:until as timestamptz) is null or import.created_at < :until)
    and (cast(:named as text) is null or strpos(lower(import.filename), lower(:named)) > 0)
    and (
        cast(:named as text) is null
        or length(:named) < 3
        or ledger.trigrams(import.filename) @> ledger.trigrams(:named)
    )
    and (cast(:makers as uuid[]) is null or import.created_by = any(:makers))
    and (
        cast(:with_errors as boolean) is not true
        or import.findings_errors > 0
        or import.state in ('rejected', 'failed', 'partially_succeeded')
    )
    and (
        cast(:before as uuid) is null
        or (import.created_at, import.id) < (
            select last_seen.created_at, last_seen.id -- noqa: ST06
            from ledger.import as last_seen
            where last_seen.id = :before
        )
    )
order by import.created_at desc, import.id desc
limit :limit
