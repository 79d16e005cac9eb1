-- sessions/expire_states: forget states whose sign-in could not be completed any more.
delete from access.used_state
where used_state.expires_at <= :now
