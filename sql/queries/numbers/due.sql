-- numbers/due: those of these datasets that have a table and are to be counted: never counted yet, or records were loaded since,
-- and the last count is some time ago: the longer it took, the longer.
select asked.name
from unnest(cast(:names as text[])) as asked (name)
left join ledger.dataset_numbers as numbers on asked.name = numbers.dataset
where
    to_regclass(format('warehouse.%I', asked.name)) is not null
    and (
        numbers.dataset is null
        or (
            numbers.wanted_at > coalesce(numbers.tried_at, '-infinity')
            and clock_timestamp() > coalesce(numbers.tried_at, '-infinity')
            + greatest(:pause, coalesce(numbers.seconds, 0) * :rest) * interval '1 second'
        )
    )
order by asked.name
