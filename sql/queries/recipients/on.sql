-- recipients/on: switch a recipient on again.
delete from ledger.receiver_off
where
    channel = :channel
    and target = :target
