-- audits/mark_removed: an audit's report is no longer kept; the first time counts. Nothing unless the audit had ended by then.
update ledger.audit
set report_removed_at = coalesce(report_removed_at, clock_timestamp())
where
    id = :id
    and finished_at <= :ended_by
returning id
