-- imports/close: from now on no part of an import can be leased.
update ledger.import
set closing = true
where id = :import_id
