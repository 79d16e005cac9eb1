"""Step 2, read, for hierarchies that are not a column of parents: from the file's own columns in ``raw`` to ids and parents.

A module a shape (docs/files.md describes them), ``apply`` chooses it. All work is done by DuckDB, on all rows at once.
"""
