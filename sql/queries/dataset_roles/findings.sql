-- dataset_roles/findings: the findings of some datasets, as a security barrier view: no condition of a query sees other rows.
create view {schema}.import_findings with (security_barrier = true) as
select found.* -- noqa: AM04
from warehouse.import_findings as found
where found.dataset = any({datasets})
