-- imports/discard: delete an import whose upload was never completed.
delete from ledger.import
where
    id = :id
    and state = 'awaiting_upload'
