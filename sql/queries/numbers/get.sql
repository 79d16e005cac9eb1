-- numbers/get: the numbers of some datasets, and whether they have all that was loaded.
select
    dataset_numbers.dataset,
    dataset_numbers.counted_at,
    dataset_numbers.records,
    dataset_numbers.roots,
    dataset_numbers.depth,
    dataset_numbers.unreachable,
    dataset_numbers.error,
    coalesce(dataset_numbers.counted_at >= dataset_numbers.wanted_at, false) as is_current
from ledger.dataset_numbers
where dataset_numbers.dataset = any(cast(:datasets as text[]))
