-- support/import_counts: how many imports of each dataset are in each state, and since when.
select
    import.dataset,
    import.state,
    count(*) as imports,
    min(import.created_at) as oldest,
    max(import.created_at) as newest
from ledger.import
group by import.dataset, import.state
order by import.dataset, import.state
