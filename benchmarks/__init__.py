"""How fast, and beside what: each script measures Bulkhead next to a floor in the same run, and keeps what it found."""
