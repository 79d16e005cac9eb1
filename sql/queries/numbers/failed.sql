-- numbers/failed: enter why a dataset could not be counted; the numbers stay those of the count before.
update ledger.dataset_numbers
set
    error = :error,
    seconds = :seconds
where dataset_numbers.dataset = :dataset
