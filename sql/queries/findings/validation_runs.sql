-- findings/validation_runs: the verdicts on the last files of a dataset, newest first.
select
    import.id::text as id,
    import.filename,
    import.created_at,
    import.state,
    import.records_total as records,
    import.findings_errors as errors,
    import.findings_warnings as warnings,
    import.findings_by_code as by_code
from ledger.import
where
    import.dataset = :dataset
    and import.started_at is not null
    and import.state != 'validating'
order by import.created_at desc, import.id desc
limit :limit
