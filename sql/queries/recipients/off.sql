-- recipients/off: somebody is told nothing for the time being; the first reason and time are kept.
insert into ledger.receiver_off (channel, target, because)
values (:channel, :target, :because)
on conflict do nothing
