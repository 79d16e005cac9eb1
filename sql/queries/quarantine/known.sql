-- quarantine/known: how many records are held back already, and how many parts are loaded without them.
select
    coalesce(sum(part.records) filter (where part.part_no = 0), 0)::bigint as booked,
    count(*) filter (where part.part_no > 0) as loaded
from ledger.part
where part.import_id = :import_id
