-- imports/mark_removed: one kind of an import's objects is no longer kept; the first time counts. Nothing unless it was settled
-- by then.
update ledger.import
set
    batches_removed_at = case
        when :what = 'batches' then coalesce(batches_removed_at, clock_timestamp()) else batches_removed_at
    end,
    results_removed_at = case
        when :what = 'results' then coalesce(results_removed_at, clock_timestamp()) else results_removed_at
    end,
    report_removed_at = case
        when :what = 'report' then coalesce(report_removed_at, clock_timestamp()) else report_removed_at
    end,
    source_removed_at = case
        when :what = 'source' then coalesce(source_removed_at, clock_timestamp()) else source_removed_at
    end
where
    id = :id
    and state = any(:settled)
    and finished_at <= :ended_by
returning id
