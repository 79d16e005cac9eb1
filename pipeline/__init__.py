"""The journey of a record, from a file in S3 to a row in the warehouse. See docs/architecture.md for the map."""
