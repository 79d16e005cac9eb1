-- imports/loaded_before: the last import that loaded the same content completely, with the same rules and options of reading.
select import.id::text as id
from ledger.import
where
    import.dataset = :dataset
    and import.sha256 = :sha256
    and import.state = 'succeeded'
    and import.id != :id
    and import.reading ->> 'rules_version' = :rules_version
    and import.options - cast(:others as text[]) = cast(:reading as jsonb)
order by import.finished_at desc
limit 1
