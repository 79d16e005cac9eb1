-- numbers/keep: enter what a count of a dataset found.
update ledger.dataset_numbers
set
    counted_at = :began,
    seconds = :seconds,
    records = :records,
    roots = :roots,
    depth = :depth,
    unreachable = :unreachable,
    error = ''
where dataset_numbers.dataset = :dataset
