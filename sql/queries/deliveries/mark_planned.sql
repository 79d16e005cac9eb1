-- deliveries/mark_planned: all messages about this final state of an import are opened.
update ledger.import
set notified = state
where
    id = :import_id
    and state = :state
