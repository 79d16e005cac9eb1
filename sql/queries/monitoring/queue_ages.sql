-- monitoring/queue_ages: for how long the first import of each dataset's queue has waited since it came into it, in seconds.
select
    datasets.dataset,
    coalesce(
        extract(epoch from clock_timestamp() - (
            select max(move.at)
            from ledger.move
            where
                move.import_id = (
                    select import.id
                    from ledger.import
                    where import.dataset = datasets.dataset and import.state = 'queued'
                    order by import.queue_seq
                    limit 1
                )
                and move.to_state = 'queued'
        )),
        0
    )::float as age_seconds
from unnest(cast(:datasets as text[])) as datasets (dataset)
