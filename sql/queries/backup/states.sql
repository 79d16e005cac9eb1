-- backup/states: how many imports are in each state.
select
    import.state,
    count(*) as imports
from ledger.import
group by import.state
order by import.state
