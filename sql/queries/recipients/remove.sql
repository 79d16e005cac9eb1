-- recipients/remove: remove a recipient that an admin added.
delete from ledger.receiver
where
    channel = :channel
    and target = :target
