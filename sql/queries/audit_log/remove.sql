-- audit_log/remove: remove the events that are past their retention time, and return how many; or only count them.
select ledger.remove_audit_events(make_interval(secs => :seconds), :dry_run) as removed
