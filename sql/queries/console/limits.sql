-- console/limits: a time limit for one transaction of people's own SQL, no parallel workers, no compiling of queries, and texts
-- that end where the guard saw them end; with the process that runs the query, behind a pooler too.
select
    pg_backend_pid() as process,
    set_config('statement_timeout', {milliseconds}, true) as time_limit,
    set_config('max_parallel_workers_per_gather', '0', true) as workers,
    set_config('jit', 'off', true) as compiling,
    set_config('standard_conforming_strings', 'on', true) as texts
