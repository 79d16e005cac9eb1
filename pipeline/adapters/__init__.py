"""Clients of S3, PostgreSQL and Temporal: the only modules that import their libraries."""
