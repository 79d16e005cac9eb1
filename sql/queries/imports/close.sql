-- imports/close: from here on no part can be claimed.
update ledger.import
set closing = true
where id = :import_id
