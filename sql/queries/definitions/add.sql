-- definitions/add: a new version of a definition.
insert into ledger.dataset_definition (name, version, suite, table_sql, title, created_by)
values (:name, :version, :suite, :table_sql, :title, :created_by)
