-- imports/renew: the process that receives an upload is alive: the upload may go on for some more seconds.
update ledger.import
set upload_until = clock_timestamp() + make_interval(secs => :seconds)
where
    id = :id
    and state = 'awaiting_upload'
