-- quarantine/known: how many records are in quarantine already, and how many parts are loaded.
select
    coalesce(sum(part.records) filter (where part.part_no = :part_no), 0)::bigint as quarantined,
    count(*) filter (where part.part_no > :part_no) as loaded_parts
from ledger.part
where part.import_id = :import_id
