-- numbers/keep_top: enter one of the records with the most descendants.
insert into ledger.dataset_top (dataset, place, id, parent, depth, children, descendants)
values (:dataset, :place, :id, :parent, :depth, :children, :descendants)
