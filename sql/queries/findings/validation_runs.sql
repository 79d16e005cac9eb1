-- findings/validation_runs: a page of the verdicts on the files of a dataset, newest first, by keyset pagination: those older
-- than :before; if it is null, the first page.
select
    import.id::text as id,
    import.filename,
    import.created_at,
    import.state,
    import.records_total as records,
    import.findings_errors as errors,
    import.findings_warnings as warnings,
    import.findings_by_code as by_code,
    import.reading -> 'expectations' as expectations
from ledger.import
where
    import.dataset = :dataset
    and import.started_at is not null
    and import.state != 'validating'
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
