-- load/by_index: a part is small and the table large, so each record is looked up; a hash would read all of the table each time.
select
    set_config('enable_hashjoin', 'off', true) as no_hash_join,
    set_config('enable_mergejoin', 'off', true) as no_merge_join
