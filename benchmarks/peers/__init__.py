"""The same file into the same PostgreSQL: by a script written by hand, by dlt, and by Bulkhead."""
