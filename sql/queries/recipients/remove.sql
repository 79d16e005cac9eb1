-- recipients/remove: somebody who was added is told no more.
delete from ledger.receiver
where
    channel = :channel
    and target = :target
