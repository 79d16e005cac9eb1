"""The same file into the same PostgreSQL: by what somebody would write by hand, by dlt, and by Bulkhead."""
