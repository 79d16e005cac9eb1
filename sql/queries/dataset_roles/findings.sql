-- dataset_roles/findings: the findings of some datasets, as a security barrier view: no condition of a query sees other rows.
-- Of the datasets in masked, texts are masked whole: some may have been stored before a column was tagged as personal.
create view {schema}.import_findings with (security_barrier = true) as
select
    found.dataset,
    found.filename,
    found.imported_at,
    found.import_id,
    found.finding_no,
    found.code,
    found.severity,
    case when found.dataset = any({masked}::text[]) then {mask} else found.message end as message,
    found.row,
    found.line,
    found."column",
    case when found.dataset = any({masked}::text[]) and found.value is not null then {mask} else found.value end as value,
    case when found.dataset = any({masked}::text[]) and found.hint is not null then {mask} else found.hint end as hint,
    found.related,
    found.cycle,
    found.id
from warehouse.import_findings as found
where found.dataset = any({datasets})
