-- imports/status: imports with their live counts and their position in the dataset's queue. Part 0 is the quarantine.
-- The counts are sums over the rows of the parts, which are written in one transaction with the records.
with live as (
    select
        part.import_id,
        count(*) filter (where part.part_no > 0) as parts_done,
        sum(part.inserted) as inserted,
        sum(part.updated) as updated,
        sum(part.unchanged) as unchanged,
        sum(part.failed) as failed
    from ledger.part
    where part.import_id = any(:ids)
    group by part.import_id
)

select
    import.id::text as id,
    import.dataset,
    import.state,
    import.filename,
    import.size_bytes,
    import.sha256,
    import.bucket,
    import.key,
    import.etag,
    import.records_total,
    import.records_valid,
    import.records_invalid,
    import.unprocessed,
    import.parts_total,
    import.findings_errors,
    import.findings_warnings,
    import.findings_by_code,
    import.reason,
    import.created_by::text as created_by,
    coalesce(api_key.name, person.name) as created_by_name,
    import.created_at,
    import.started_at,
    import.finished_at,
    import.options,
    import.reading,
    import.preview,
    import.quarantined,
    import.retry_of::text as retry_of,
    array(
        select retry.id::text
        from ledger.import as retry
        where retry.retry_of = import.id
        order by retry.created_at
    ) as retried_by,
    import.duplicate_of::text as duplicate_of,
    import.definition_version,
    import.pause_wanted,
    import.traceparent,
    import.cancel_requested_at,
    import.batches_removed_at,
    import.results_removed_at,
    import.report_removed_at,
    import.source_removed_at,
    array(
        select mart.error
        from ledger.mart
        where
            mart.dataset = import.dataset
            and mart.error != ''
            and import.finished_at > coalesce(mart.data_at, '-infinity')
            and coalesce(live.inserted, 0) + coalesce(live.updated, 0) > 0
        order by mart.name
    ) as warnings,
    coalesce(live.parts_done, 0)::bigint as parts_done,
    coalesce(live.inserted, 0)::bigint as inserted,
    coalesce(live.updated, 0)::bigint as updated,
    coalesce(live.unchanged, 0)::bigint as unchanged,
    coalesce(live.failed, 0)::bigint as failed,
    case
        when import.state in ('validating', 'preparing', 'loading', 'paused') then 0
        when import.state = 'queued'
            then (
                select count(*)
                from ledger.import as ahead
                where
                    ahead.dataset = import.dataset
                    and (
                        ahead.state in ('validating', 'preparing', 'loading', 'paused')
                        or (ahead.state = 'queued' and ahead.queue_seq < import.queue_seq)
                    )
            )
    end as queue_position
from ledger.import
left join live on import.id = live.import_id
left join access.api_key on import.created_by = api_key.id
left join access.person on import.created_by = person.id
where import.id = any(:ids)
order by import.created_at desc, import.id desc
