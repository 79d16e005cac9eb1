"""Dataset definitions: from a suite in expectations/ and a table in sql/tables/ to columns, types, rules and a template."""
