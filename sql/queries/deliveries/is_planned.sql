-- deliveries/is_planned: whether all messages about this final state of an import are opened.
select import.id
from ledger.import
where
    import.id = :import_id
    and import.notified = :state
