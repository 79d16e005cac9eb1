-- numbers/top: the records with the most descendants at the last count, each after its parent.
select
    dataset_top.id,
    dataset_top.parent,
    dataset_top.depth,
    dataset_top.children,
    dataset_top.descendants
from ledger.dataset_top
where dataset_top.dataset = :dataset
order by dataset_top.place
