-- marts/tried: enter how a refresh of a mart ended; without an error the mart has all that was loaded before the refresh began.
insert into ledger.mart (dataset, name, tried_at, data_at, seconds, error)
values (:dataset, :name, :began, case when :error = '' then cast(:began as timestamptz) end, :seconds, :error)
on conflict (dataset, name) do update
    set
        tried_at = excluded.tried_at,
        data_at = coalesce(excluded.data_at, mart.data_at),
        seconds = excluded.seconds,
        error = excluded.error
