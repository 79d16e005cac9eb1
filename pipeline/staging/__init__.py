"""Step 3, stage: from raw rows to typed columns and the links of the hierarchy, in the DuckDB database that all later steps share."""
