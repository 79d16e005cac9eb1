-- recipients/add: somebody more who is told.
insert into ledger.receiver (channel, target, datasets, secret)
values (:channel, :target, :datasets, :secret)
on conflict do nothing
