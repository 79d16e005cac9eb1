-- console_limits: a time limit and no parallel workers for one transaction of people's own SQL.
select
    set_config('statement_timeout', {milliseconds}, true) as time_limit,
    set_config('max_parallel_workers_per_gather', '0', true) as workers
