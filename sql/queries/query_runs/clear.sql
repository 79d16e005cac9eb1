-- query_runs/clear: forget the queries of an owner.
delete from access.query_run
where owner_id = :owner_id
