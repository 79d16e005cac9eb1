-- imports/loaded_before: the latest import that loaded this very content by the same rules and wishes, whole.
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
