-- expected_arrivals/forget: expect files of no other datasets than these.
delete from ledger.expected_arrival
where expected_arrival.dataset <> all(cast(:datasets as text[]))
