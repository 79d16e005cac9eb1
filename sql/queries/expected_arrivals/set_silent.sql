-- expected_arrivals/set_silent: record that recipients are notified of a silence, or with null that it is over.
update ledger.expected_arrival
set silent_since = :since
where dataset = :dataset
