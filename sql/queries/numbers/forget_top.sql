-- numbers/forget_top: remove the largest records of the count before.
delete from ledger.dataset_top where dataset_top.dataset = :dataset
