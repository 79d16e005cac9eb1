-- findings/count_alike: how many findings of an import have the same code, column and value as some of its findings, counted up
-- to a limit. By the index of values; those without a value among the first of their code.
select
    wanted.finding_no,
    case when wanted.value is null then valueless.alike else valued.alike end as alike
from ledger.finding as wanted
cross join
    lateral ( -- noqa: ST05
        select count(*) as alike
        from (
            select finding.finding_no
            from ledger.finding
            where
                finding.import_id = :import_id
                and hashtextextended(finding.value, 0) = hashtextextended(wanted.value, 0)
                and finding.value = wanted.value
                and finding.code = wanted.code
                and finding."column" = wanted."column"
            order by finding.finding_no
            limit :limit
        ) as first_alike
    ) as valued
cross join
    lateral ( -- noqa: ST05
        select count(*) as alike
        from (
            select
                finding."column",
                finding.value
            from ledger.finding
            where
                wanted.value is null
                and finding.import_id = :import_id
                and finding.code = wanted.code
                and finding.severity = wanted.severity
            order by finding.finding_no
            limit :limit
        ) as first_of_code
        where
            first_of_code.value is null
            and first_of_code."column" = wanted."column"
    ) as valueless
where
    wanted.import_id = :import_id
    and wanted.finding_no = any(:finding_nos)
    and wanted."column" is not null
