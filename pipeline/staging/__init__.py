"""Step 3, stage: from the raw rows of a file to typed columns, and the nodes and links of its hierarchy.

All steps that work on one file share this DuckDB database, from the reader to the report and the parts.
"""
