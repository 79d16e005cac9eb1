"""Step 3, stage: from raw rows to typed columns and the links of the hierarchy.

All later steps of a file meet in this DuckDB database.
"""
