"""The permanent record in PostgreSQL: imports and their states, findings, failures, deliveries, API keys."""
