-- sessions/use_state: note that a sign-in came back from the provider; nothing if it already had.
insert into access.used_state (state_hash, expires_at)
values (:state_hash, clock_timestamp() + make_interval(secs => :seconds))
on conflict (state_hash) do nothing
returning used_state.state_hash
