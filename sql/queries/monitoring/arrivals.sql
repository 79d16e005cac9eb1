-- monitoring/arrivals: when the last file of each dataset arrived; without one, since when its files are expected. A dry run, a
-- retry and an upload that was never completed are no arrivals.
select
    datasets.dataset,
    coalesce(arrived.created_at, expected_arrival.watched_since) as last_at,
    extract(
        epoch from clock_timestamp() - coalesce(arrived.created_at, expected_arrival.watched_since)
    )::float as age_seconds,
    expected_arrival.silent_since
from unnest(cast(:datasets as text[])) as datasets (dataset)
left join lateral ( -- noqa: ST05
    select import.created_at
    from ledger.import
    where
        import.dataset = datasets.dataset
        and import.state not in ('awaiting_upload', 'expired')
        and import.retry_of is null
        and import.options ->> 'dry_run' is distinct from 'true'
    order by import.created_at desc
    limit 1
) as arrived on true
left join ledger.expected_arrival on datasets.dataset = expected_arrival.dataset
where coalesce(arrived.created_at, expected_arrival.watched_since) is not null
