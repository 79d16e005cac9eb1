-- imports/discard: an upload that never became whole leaves no trace in the ledger.
delete from ledger.import
where
    id = :id
    and state = 'awaiting_upload'
