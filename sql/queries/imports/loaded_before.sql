-- imports/loaded_before: the last import that loaded the same content completely, with the same rules and options.
select import.id::text as id
from ledger.import
where
    import.dataset = :dataset
    and import.sha256 = :sha256
    and import.state = 'succeeded'
    and import.id != :id
    and import.reading ->> 'rules_version' = :rules_version
    and coalesce(import.options ->> 'delimiter', '') = :delimiter
    and coalesce(import.options -> 'without', '[]') = cast(:without as jsonb)
    and coalesce(import.options -> 'mapping', '{}') = cast(:mapping as jsonb)
order by import.finished_at desc
limit 1
