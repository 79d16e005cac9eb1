-- audits/open: begin an audit; no row if the dataset has one that has not ended.
insert into ledger.audit (id, dataset, created_by, scheduled)
values (:id, :dataset, :created_by, :scheduled)
on conflict (dataset) where state in ('queued', 'running') do nothing
returning id
