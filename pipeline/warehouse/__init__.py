"""The destination in PostgreSQL: its schema, marts, roles, existing edges, and the reads of it."""
