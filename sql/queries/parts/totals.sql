-- parts/totals: what became of an import's records, from the rows written together with them.
select
    count(*) filter (where part.part_no > 0) as parts_done,
    coalesce(sum(part.records), 0)::bigint as records,
    coalesce(sum(part.inserted), 0)::bigint as inserted,
    coalesce(sum(part.updated), 0)::bigint as updated,
    coalesce(sum(part.unchanged), 0)::bigint as unchanged,
    coalesce(sum(part.failed), 0)::bigint as failed
from ledger.part
where part.import_id = :import_id
