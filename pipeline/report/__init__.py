"""Step 5, report: from findings to the files that people download (CSV, JSON, Parquet, Excel)."""
