-- recipients/on: somebody is told again.
delete from ledger.receiver_off
where
    channel = :channel
    and target = :target
