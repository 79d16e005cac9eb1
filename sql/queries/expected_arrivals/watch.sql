-- expected_arrivals/watch: expect files of these datasets from now on, unless that is so already.
insert into ledger.expected_arrival (dataset)
select datasets.dataset
from unnest(cast(:datasets as text[])) as datasets (dataset)
on conflict (dataset) do nothing
