-- recipients/add: add a recipient.
insert into ledger.receiver (channel, target, datasets, secret)
values (:channel, :target, :datasets, :secret)
on conflict do nothing
