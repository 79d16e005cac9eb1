-- imports/renew: renew the lease of the process that receives an upload.
update ledger.import
set upload_until = clock_timestamp() + make_interval(secs => :seconds)
where
    id = :id
    and state = 'awaiting_upload'
