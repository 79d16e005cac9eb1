-- monitoring/open_imports: how many imports of each of these datasets are in each of these states.
select
    datasets.dataset,
    states.state,
    (
        select count(*)
        from ledger.import
        where import.dataset = datasets.dataset and import.state = states.state
    ) as imports
from unnest(cast(:datasets as text[])) as datasets (dataset)
cross join unnest(cast(:states as text[])) as states (state)
