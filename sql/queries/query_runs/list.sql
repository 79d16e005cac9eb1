-- query_runs/list: the last queries of an owner that it may see now, newest first.
select
    query_run.sql,
    query_run.seconds,
    query_run.row_count,
    query_run.is_truncated,
    query_run.ran_at
from access.query_run
where
    query_run.owner_id = :owner_id
    and (cast(:datasets as text[]) is null or query_run.datasets <@ cast(:datasets as text[]))
    and (:unmask or not query_run.unmask)
order by query_run.id desc
