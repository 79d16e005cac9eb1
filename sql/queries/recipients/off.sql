-- recipients/off: switch a recipient off; the first reason and time are kept.
insert into ledger.receiver_off (channel, target, because)
values (:channel, :target, :because)
on conflict do nothing
