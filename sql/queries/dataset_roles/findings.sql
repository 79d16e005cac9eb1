-- dataset_roles/findings: the findings of some datasets. A barrier: no condition of a query sees a row that is not theirs.
create view {schema}.import_findings with (security_barrier = true) as
select found.* -- noqa: AM04
from warehouse.import_findings as found
where found.dataset = any({datasets})
