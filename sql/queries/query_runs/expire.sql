-- query_runs/expire: forget queries that were run before a time.
delete from access.query_run
where ran_at < :since
